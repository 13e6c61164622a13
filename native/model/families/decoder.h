// The common parts of Llama, Mistral, Qwen2 and Qwen3, and their differences.
#pragma once

#include "model/families/fields.h"

namespace embedcore {

// Defaults of the reference's configuration classes, and properties of each family's layers.
struct DecoderFields {
  int64_t default_vocab, default_positions, default_intermediate;
  int64_t default_kv_heads = 0;  // 0 = as many as heads
  int64_t default_head_dim = 0;  // 0 = hidden_size / heads
  bool qkv_bias = false;         // on q, k and v alone (Qwen2)
  bool reads_attention_bias = false, reads_mlp_bias = false;
  bool qk_norm = false;
};

ModelConfig parse_decoder(const Json& config, const char* family, const DecoderFields& fields);

// Sets the window of the sliding layers.
void set_windows(ModelConfig& model, int64_t window, const std::vector<bool>& sliding);

}  // namespace embedcore
