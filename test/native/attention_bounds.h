// Bounds on the errors of attention that its forward and its backward pass share.
#pragma once

#include "attention_inputs.h"

namespace embedcore::test {

// What ops/attention.h allows exp to be off by, of itself.
inline double exp_error(DType dtype) {
  return dtype == DType::kF32 ? 4 * kUnit : dtype == DType::kF16 ? 0x1p-13 : 0x1p-10;
}

inline double longest_head(const Rows& qkv, int64_t first_head, int64_t heads, int64_t head_dim) {
  double most = 0;
  for (int64_t row = 0; row < qkv.rows(); ++row) {
    for (int64_t h = first_head; h < first_head + heads; ++h) {
      double squares = 0;
      for (int64_t d = 0; d < head_dim; ++d) squares += std::pow(static_cast<double>(qkv.at(row, h * head_dim + d)), 2);
      most = std::max(most, std::sqrt(squares));
    }
  }
  return most;
}

inline int64_t keys_seen(const Inputs& inputs) {
  const AttentionCase& c = inputs.spec;
  return c.window > 0
             ? std::min<int64_t>(2 * c.window + 1 + (c.mask == Mask::kPrefix ? inputs.longest : 0), inputs.longest)
             : inputs.longest;
}

// With s = scale |q| |k|, which bounds a score and by Cauchy-Schwarz its sum of magnitudes: a score is off by (head_dim
// + 3) u s, by 16 u s more where q and k were normed and rotated in float32 first, and by 2 u (s + |bias|) for the bias
// and the greatest's subtraction. In 16 bits the sums may be of pairs, as in linear layers, which doubles the first; q
// and k are as they were found.
inline double score_error(const Inputs& inputs, const Rows& qkv, DType dtype) {
  const AttentionCase& c = inputs.spec;
  const double s = std::abs(static_cast<double>(inputs.scale())) * longest_head(qkv, 0, c.heads, c.head_dim) *
                   longest_head(qkv, c.heads, c.kv_heads, c.head_dim);
  const double bias = c.bias ? 2 + std::abs(static_cast<double>(c.slope)) * static_cast<double>(inputs.longest) : 0;
  return kUnit *
         (static_cast<double>(dtype != DType::kF32 ? 2 * c.head_dim + 6 : c.head_dim + 19) * s + 2 * (s + bias));
}

}  // namespace embedcore::test
