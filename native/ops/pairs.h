// Scores of pairs of rows, their gradients, and the squared error. Losses over pairs (cosine regression, CoSENT, AnglE,
// contrastive, margin MSE, distillation of scores) are functions of a few scores, so they are computed on the host from
// what pair_scores gives, and pair_gradient brings their gradients back to the vectors.
#pragma once

#include "ops/backend.h"

namespace embedcore {

// kCosine     a . b / (|a| |b|), lengths at least 1e-8 (torch.nn.functional.cosine_similarity)
// kDot        a . b
// kEuclidean  |a - b|
// kManhattan  sum |a_k - b_k|
// kAngle      AnglE (Li and Li 2023) as sentence-transformers has it: with a = (x, y) and b = (z, w) halves taken as
// real
//             and imaginary parts, t = |z|^2 + |w|^2:  r = (x z + y w) / t, i = (y z - x w) / t, both divided by
//             |a| / |b|; score = |sum_k (r_k + i_k)|. The width is even.
enum class PairScore : int32_t { kCosine, kDot, kEuclidean, kManhattan, kAngle };

struct PairScoresArgs {
  PairScore kind = PairScore::kCosine;
  const float* a = nullptr;  // [rows, width]
  int64_t a_stride = 0;
  const float* b = nullptr;  // [rows, width]
  int64_t b_stride = 0;
  int64_t rows = 0, width = 0;
  float* scores = nullptr;  // [rows]
};

// da[r] += dscores[r] d score / d a, and db in the same way. Where a score has no derivative (equal rows of a distance,
// kAngle of 0) it counts as 0.
struct PairGradientArgs {
  PairScore kind = PairScore::kCosine;
  const float* a = nullptr;
  int64_t a_stride = 0;
  const float* b = nullptr;
  int64_t b_stride = 0;
  int64_t rows = 0, width = 0;
  const float* dscores = nullptr;  // [rows]
  float* da = nullptr;             // null = not wanted
  int64_t da_stride = 0;
  float* db = nullptr;  // null = not wanted
  int64_t db_stride = 0;
};

// loss[r] = sum_k (x[r, k] - target[r, k])^2, dx += 2 weight (x - target).
struct SquaredErrorArgs {
  const float* x = nullptr;
  int64_t x_stride = 0;
  const float* target = nullptr;
  int64_t target_stride = 0;
  int64_t rows = 0, width = 0;
  float weight = 1;
  float* loss = nullptr;  // [rows]
  float* dx = nullptr;    // null = not wanted
  int64_t dx_stride = 0;
};

}  // namespace embedcore
