// Llama, and Mistral with its sliding window.
#include "model/families/decoder.h"
#include "model/families/families.h"

namespace embedcore {

ModelConfig parse_llama(const Json& config) {
  return parse_decoder(config, "llama",
                       {.default_vocab = 32000,
                        .default_positions = 2048,
                        .default_intermediate = 11008,
                        .reads_attention_bias = true,
                        .reads_mlp_bias = true});
}

// With "layer_types" the reference runs the model as Ministral, whose layers alternate.
ModelConfig parse_mistral(const Json& config) {
  ModelConfig model = parse_decoder(
      config, "mistral",
      {.default_vocab = 32000, .default_positions = 131072, .default_intermediate = 14336, .default_kv_heads = 8});
  const int64_t window = read_size_or_null(config, "sliding_window", 4096, 0);
  const auto count = static_cast<int64_t>(model.layers.size());
  set_windows(model, window,
              read_sliding(
                  config, count, [](int64_t, int64_t) { return true; }, 0));
  return model;
}

}  // namespace embedcore
