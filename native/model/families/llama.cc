// Llama, and Mistral with its sliding window.
#include "model/families/families.h"

namespace embedcore {

ModelConfig parse_llama(const Json& config) { return parse_decoder(config, "llama", false, false, 10000.0); }

ModelConfig parse_mistral(const Json& config) {
  ModelConfig model = parse_decoder(config, "mistral", false, false, 10000.0);
  const int64_t window = config.get_int("sliding_window", 0);
  for (size_t i = 0; i < model.layers.size(); ++i)
    if (window != 0 && is_sliding(config, static_cast<int64_t>(i), true)) model.layers[i].window = window;
  return model;
}

}  // namespace embedcore
