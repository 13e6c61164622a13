// Triplet losses with online mining over a batch of labelled vectors (FaceNet, Schroff et al. 2015; Hermans et al.
// 2017): loss and gradients in one operation. d(a, b) is the Euclidean distance or 1 - cosine; P(a) are the other rows
// with the label of a, N(a) the rows with another label; h(z) = max(0, z + margin), or log(1 + exp z) with a soft
// margin.
//   kBatchHard   mean over all rows a of h(max_{p in P(a)} d(a, p) - min_{n in N(a)} d(a, n)). A row without positives
//                counts d(a, p) as 0; one without negatives takes the greatest distance of its row for d(a, n).
//   kBatchAll    mean over the triplets (a, p, n) with h > 1e-16 of h(d(a, p) - d(a, n)); 0 if there are none
//   kSemiHard    mean over all pairs (a, p) of h(d(a, p) - d(a, n)), n the nearest negative with d(a, n) > d(a, p),
//                otherwise the farthest negative; without negatives d(a, n) counts as 0. 0 if there are no pairs.
// Of equal distances the first row counts. The definitions are those of sentence-transformers.
//
// dx is added to: weight * d loss / d x. The gradient of a Euclidean distance of 0 is 0, and so is that of h where it
// is 0. A cosine's lengths are at least 1e-12. If a value of x is not finite, or its square is not a float, the loss is
// a NaN and dx stays as it is. Sums over rows go in order. A backend works on a few rows at a time and never holds rows
// x rows.
#pragma once

#include "ops/backend.h"

namespace embedcore {

enum class TripletMining : int32_t { kBatchHard, kBatchAll, kSemiHard };
enum class Distance : int32_t { kEuclidean, kCosine };

struct TripletArgs {
  TripletMining mining = TripletMining::kBatchHard;
  Distance distance = Distance::kEuclidean;
  const float* x = nullptr;  // [rows, width]
  int64_t x_stride = 0;
  int64_t rows = 0, width = 0;
  const int32_t* labels = nullptr;  // [rows]
  float margin = 5;
  bool soft_margin = false;  // kBatchHard only
  float weight = 1;
  float* dx = nullptr;  // null = not wanted
  int64_t dx_stride = 0;
  float* loss = nullptr;     // [1]: the mean, without the weight
  float* counted = nullptr;  // [1]: terms in the mean; null = not wanted
};

}  // namespace embedcore
