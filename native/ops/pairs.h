// Scores of pairs of rows, their gradients, and the squared error. Losses over pairs (cosine regression, CoSENT, AnglE,
// contrastive, margin MSE, distillation of scores) are functions of a few scores, so they are computed on the host from
// what pair_scores gives, and pair_gradient brings their gradients back to the vectors.
#pragma once

#include "ops/backend.h"

namespace embedcore {

// kCosine     a . b / (|a| |b|), lengths at least 1e-8 (torch.nn.functional.cosine_similarity)
// kDot        a . b
// kEuclidean  |a - b + epsilon|, epsilon added to every element (torch.nn.functional.pairwise_distance)
// kManhattan  sum_k |a_k - b_k + epsilon|
// kAngle      AnglE (Li and Li 2023) as sentence-transformers has it: the halves of a = (x, y) and b = (z, w) are real
//             and imaginary parts of complex vectors, and the score is |sum_k Re + Im of a conj(b)| / (|a| |b|)
//             = |sum_k x_k (z_k - w_k) + y_k (z_k + w_k)| / (|a| |b|). An odd width counts as one more, of zeros.
enum class PairScore : int32_t { kCosine, kDot, kEuclidean, kManhattan, kAngle };

struct PairScoresArgs {
  PairScore kind = PairScore::kCosine;
  const float* a = nullptr;  // [rows, width]
  int64_t a_stride = 0;
  const float* b = nullptr;  // [rows, width]
  int64_t b_stride = 0;
  int64_t rows = 0, width = 0;
  float epsilon = 0;
  float* scores = nullptr;  // [rows]
};

// da[r] += dscores[r] d score / d a, and db in the same way. Where a score has no derivative (equal rows of a distance,
// kAngle of 0 or of a row of zeros) it counts as 0; a length below 1e-8 of a cosine counts as constant.
struct PairGradientArgs {
  PairScore kind = PairScore::kCosine;
  const float* a = nullptr;
  int64_t a_stride = 0;
  const float* b = nullptr;
  int64_t b_stride = 0;
  int64_t rows = 0, width = 0;
  float epsilon = 0;
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
