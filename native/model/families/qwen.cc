// Qwen2 and Qwen2.5: Llama with biases on q, k, v. Qwen3: without them, with an RMS norm on each head's q and k.
#include "model/families/decoder.h"
#include "model/families/families.h"

namespace embedcore {

namespace {

void read_windows(ModelConfig& model, const Json& config) {
  const int64_t first = read_size(config, "max_window_layers", 28, 0);
  const auto count = static_cast<int64_t>(model.layers.size());
  const auto sliding = read_sliding(
      config, count, [](int64_t layer, int64_t from) { return layer >= from; }, first);
  if (config.get_bool("use_sliding_window", false))
    set_windows(model, read_size_or_null(config, "sliding_window", 4096, 0), sliding);
}

}  // namespace

ModelConfig parse_qwen2(const Json& config) {
  ModelConfig model = parse_decoder(config, "qwen2",
                                    {.default_vocab = 151936,
                                     .default_positions = 32768,
                                     .default_intermediate = 22016,
                                     .default_kv_heads = 32,
                                     .qkv_bias = true});
  read_windows(model, config);
  return model;
}

ModelConfig parse_qwen3(const Json& config) {
  ModelConfig model = parse_decoder(config, "qwen3",
                                    {.default_vocab = 151936,
                                     .default_positions = 32768,
                                     .default_intermediate = 22016,
                                     .default_kv_heads = 32,
                                     .default_head_dim = 128,
                                     .reads_attention_bias = true,
                                     .qk_norm = true});
  read_windows(model, config);
  return model;
}

}  // namespace embedcore
