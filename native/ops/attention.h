// Attention over packed sequences: text i owns tokens offsets[i] .. offsets[i+1).
//   qkv [tokens, (heads + 2 * kv_heads) * head_dim]: all query heads, then key heads, then value heads
//   y   [tokens, heads * head_dim]
// First, in place on qkv: q and k are RMS-normalised per head where q_norm/k_norm are given, then rotated where rope is
// given. Then y_i = sum_j softmax_j(scale * q_i . k_j + bias[head][j - i]) v_j over the keys j that token i sees. Query
// head h uses key head h / (heads / kv_heads).
//
// dtype float32, float16 or bfloat16: that of the rows of qkv and y. In 16 bits q and k are rounded again after norm
// and rotation, and scores are computed from the q and k that stay in qkv. A backend may round the softmax weights,
// which are at most 1, to the dtype before it multiplies them with the values; the denominator may be the sum of the
// unrounded weights. exp may be off by 2^-10 of itself in bfloat16, by 2^-13 in float16; scores, sums and everything
// else are float32. head_dim may be odd.
//
// The keys seen by token i of a text of n tokens are one range [first, last), see visible_keys below.
#pragma once

#include "base/dtype.h"
#include "ops/backend.h"
#include "ops/dropout.h"

namespace embedcore {

enum class Mask : int32_t {
  kBidirectional,
  kCausal,
  kPrefix,  // UniLM: the first prefix[text] tokens see each other in both directions; later tokens are causal
};

struct KeyRange {
  int64_t first, last;
};

// window 0 = none. Causal: the last `window` tokens, itself included (Mistral). Bidirectional: |i - j| <= window
// (ModernBERT, which counts each side). A prefix token keeps the causal window backwards and sees forward to the
// prefix's end.
static inline KeyRange visible_keys(Mask mask, int64_t window, int64_t prefix, int64_t i, int64_t n) {
  if (mask == Mask::kBidirectional) {
    if (window == 0) return {0, n};
    return {i > window ? i - window : 0, i + window + 1 < n ? i + window + 1 : n};
  }
  KeyRange range{window > 0 && i + 1 > window ? i + 1 - window : 0, i + 1};
  if (mask == Mask::kPrefix && i < prefix) range.last = prefix < n ? prefix : n;
  return range;
}

struct AttentionArgs {
  void* qkv = nullptr;  // dtype
  int64_t qkv_stride = 0;
  void* y = nullptr;  // dtype
  int64_t y_stride = 0;
  const int32_t* offsets = nullptr;  // [texts + 1]
  int64_t texts = 0;
  int64_t longest = 0;  // tokens of the longest text
  // The words of Backend::plan_attention for these offsets: 16-byte aligned in device memory, and the same words in
  // host memory. Null where the backend makes no plans.
  const int32_t* plan = nullptr;
  const int32_t* host_plan = nullptr;
  int64_t heads = 0, kv_heads = 0, head_dim = 0;
  float scale = 1;
  Mask mask = Mask::kBidirectional;
  int64_t window = 0;
  const int32_t* prefix = nullptr;  // [texts], for kPrefix

  // Rotary positions ("rotate half"): cos and sin, [positions, rotary_dim / 2] each; the position is the index in the
  // text. Null = none.
  const float* rope_cos = nullptr;
  const float* rope_sin = nullptr;
  int64_t rotary_dim = 0;

  const float* q_norm = nullptr;  // [head_dim] or null
  const float* k_norm = nullptr;
  float qk_norm_epsilon = 0;

  // Added to the scaled score: bias[head * (2 * bias_reach + 1) + bias_reach + (j - i)]; null = none.
  // bias_reach >= longest - 1.
  const float* bias = nullptr;
  int64_t bias_reach = 0;

  DType dtype = DType::kF32;

  // For training; a backend that has none refuses raw and dropout (kBadArgument).
  // raw [tokens, (heads + kv_heads) * head_dim]: q and k before norms and rotation, for the gradient of the norms
  // (norm.h), which takes float32 rows; null = not kept.
  float* raw = nullptr;
  int64_t raw_stride = 0;
  // lse [heads, offsets[texts]]: log(sum_j exp(score_j)) of each query, kept for a backward pass; null =
  // not kept. y and qkv have the same bits whatever is kept.
  float* lse = nullptr;
  // Of the softmax weights, after their division by the sum: the weight of key j for query i in head h is column j of a
  // row with the key rows[offsets[text] + i] at site + h. lse has the same bits without it.
  Dropout dropout{};
};

// That of the weights of one head.
static inline Dropout dropout_of(const AttentionArgs& args, int64_t head) {
  Dropout dropout = args.dropout;
  dropout.site += static_cast<uint32_t>(head);
  return dropout;
}

// The gradient of qkv. With P the softmax weights, made again from lse, D their dropout, and i, j of one text, j seen
// by i:
//   dv_j = sum_i D(P)_ij dy_i                     dP_ij = D(dy_i . v_j)
//   dS_ij = P_ij (dP_ij - dy_i . y_i)             dq_i = scale sum_j dS_ij k_j      dk_j = scale sum_i dS_ij q_i
// and dk, dv summed over the query heads of a key head, in order. dqkv [tokens, qkv width] is float32 and is written,
// not added to: for v as it is, for q and k the gradient before the rotation, after the norms; where q_norm or k_norm
// is given the caller applies NormGradientArgs to the rows of `raw`. Every sum has an order that depends on the text
// alone. Nothing has a size of tokens times tokens. Products and sums are float32 whatever the dtype of the rows; exp
// may be off as in the forward pass.
struct AttentionGradientArgs {
  // As it ran: qkv is read after norms and rotation; y, lse and the rest as they were. Nothing of it is written; norms
  // and raw are not read.
  AttentionArgs forward{};
  const float* dy = nullptr;  // [tokens, heads * head_dim]
  int64_t dy_stride = 0;
  float* dqkv = nullptr;  // may not overlap what is read
  int64_t dqkv_stride = 0;
};

// dbias[head * (2 bias_reach + 1) + bias_reach + (j - i)] += dS_ij: each element one chain over texts and queries in
// order that begins with the value it has. Only for a forward pass with a bias.
struct AttentionBiasGradientArgs {
  AttentionArgs forward{};  // as above
  const float* dy = nullptr;
  int64_t dy_stride = 0;
  float* dbias = nullptr;  // [heads, 2 * bias_reach + 1]
};

}  // namespace embedcore
