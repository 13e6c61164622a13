// The shapes of the models that the bench measures.
#pragma once

#include <array>
#include <cstdint>

namespace embedcore::bench {

struct LinearShape {
  const char* layer;
  int64_t in, out;
  bool adds = false;  // onto the residual stream, whose rows are float32
};

struct ModelShape {
  const char* name;
  int64_t width, heads, kv_heads, head_dim, intermediate;
  bool causal;  // and, as in such models, rotary positions and RMS norms before the layers
  std::array<LinearShape, 4> linears;
};

inline constexpr ModelShape kModels[] = {
    {"MiniLM",
     384,
     12,
     12,
     32,
     1536,
     false,
     {{{"qkv", 384, 1152}, {"out", 384, 384, true}, {"up", 384, 1536}, {"down", 1536, 384, true}}}},
    {"BERT-base",
     768,
     12,
     12,
     64,
     3072,
     false,
     {{{"qkv", 768, 2304}, {"out", 768, 768, true}, {"up", 768, 3072}, {"down", 3072, 768, true}}}},
    {"Qwen2.5-0.5B",
     896,
     14,
     2,
     64,
     4864,
     true,
     {{{"qkv", 896, 1152}, {"out", 896, 896, true}, {"gate-up", 896, 9728}, {"down", 4864, 896, true}}}},
};

}  // namespace embedcore::bench
