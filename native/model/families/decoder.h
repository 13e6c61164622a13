// What Llama, Mistral, Qwen2 and Qwen3 have in common, and where they differ.
#pragma once

#include "model/families/fields.h"

namespace embedcore {

// Defaults of the reference's configuration classes, and what each family's layers have.
struct DecoderFields {
  int64_t default_vocab, default_positions, default_intermediate;
  int64_t default_kv_heads = 0;  // 0 = as many as heads
  int64_t default_head_dim = 0;  // 0 = hidden_size / heads
  bool qkv_bias = false;         // on q, k and v alone (Qwen2)
  bool reads_attention_bias = false, reads_mlp_bias = false;
  bool qk_norm = false;
};

ModelConfig parse_decoder(const Json& config, const char* family, const DecoderFields& fields);

// Gives the sliding layers their window.
void set_windows(ModelConfig& model, int64_t window, const std::vector<bool>& sliding);

}  // namespace embedcore
