// What the forward and the backward pass of attention compute alike.
#pragma once

#include "ops/attention.h"

namespace embedcore::reference {

// The score of a query and a key that is `distance` tokens to its right.
inline double score_of(const AttentionArgs& args, int64_t head, const float* q, const float* k, int64_t distance) {
  double dot = 0;
  for (int64_t d = 0; d < args.head_dim; ++d) dot += static_cast<double>(q[d]) * static_cast<double>(k[d]);
  const double score = dot * static_cast<double>(args.scale);
  if (!args.bias) return score;
  return score + static_cast<double>(args.bias[head * (2 * args.bias_reach + 1) + args.bias_reach + distance]);
}

}  // namespace embedcore::reference
