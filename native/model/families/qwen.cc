// Qwen2 and Qwen2.5: Llama with biases on q, k, v. Qwen3: without them, with an RMS norm on each head's q and k.
#include "model/families/families.h"

#include "base/error.h"

namespace embedcore {

namespace {

void set_windows(ModelConfig& model, const Json& config) {
  const int64_t window = config.get_bool("use_sliding_window", false) ? config.get_int("sliding_window", 0) : 0;
  if (window == 0) return;
  const int64_t from = config.get_int("max_window_layers", 0);
  for (size_t i = 0; i < model.layers.size(); ++i) {
    const auto index = static_cast<int64_t>(i);
    if (is_sliding(config, index, index >= from)) model.layers[i].window = window;
  }
}

}  // namespace

ModelConfig parse_qwen2(const Json& config) {
  ModelConfig model = parse_decoder(config, "qwen2", true, false, 10000.0);
  for (LayerSpec& layer : model.layers) layer.qkv_bias = true, layer.output_bias = false;
  set_windows(model, config);
  return model;
}

ModelConfig parse_qwen3(const Json& config) {
  ModelConfig model = parse_decoder(config, "qwen3", false, true, 10000.0);
  set_windows(model, config);
  return model;
}

}  // namespace embedcore
