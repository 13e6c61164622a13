// Finished vectors: normalise, compare, quantise.
#pragma once

#include "ops/backend.h"

namespace embedcore {

// x[i] /= max(|x[i]|_2, 1e-12), in place (torch.nn.functional.normalize).
struct NormalizeArgs {
  float* x = nullptr;
  int64_t stride = 0;
  int64_t rows = 0, width = 0;
  float* lengths = nullptr;  // [rows] |x[i]|_2 before, kept for a backward pass; null = not kept
};

// The gradient, from the results y and the lengths that were kept: dx = (dy - y (y . dy)) / length; a row shorter than
// 1e-12: dx = dy / 1e-12. dx may be dy.
struct NormalizeGradientArgs {
  const float* y = nullptr;
  int64_t y_stride = 0;
  const float* lengths = nullptr;
  const float* dy = nullptr;
  int64_t dy_stride = 0;
  float* dx = nullptr;
  int64_t dx_stride = 0;
  int64_t rows = 0, width = 0;
};

enum class Similarity : int32_t { kCosine, kDot, kEuclidean, kManhattan };

// y[i, j] = similarity(a_i, b_j); the distances are negated, so that greater is nearer (sentence-transformers).
//   kDot        sum_k a_k b_k
//   kCosine     sum_k a_k b_k / |a| / |b|, lengths at least 1e-12
//   kEuclidean  -sqrt(|a|^2 + |b|^2 - 2 sum_k a_k b_k). That form cancels where a and b are near: a pair whose squared
//               distance comes out at most kNearShare of |a|^2 + |b|^2 is computed as -sqrt(sum_k (a_k - b_k)^2)
//               instead, so equal rows give exactly 0. With u = 2^-24, the form is off by at most (2 width + 6) u
//               (|a|^2 + |b|^2), so a squared distance is off by at most (2 width + 6) u / kNearShare of itself.
//   kManhattan  -sum_k |a_k - b_k|
// y[i, j] depends on a_i and b_j alone: a caller may cut a product into calls of any rows, and gets the same bits.
//
// A row with a value that is not finite, or whose square is not a float (of about 1.8e19 and above), spoils its own
// results alone. A NaN gives a NaN. An infinity gives what float32 makes of the sum: an infinity or, from inf - inf
// and inf * 0, a NaN; a cosine is a NaN. Finite rows too long to square have correct distances where the squared
// distance is a float; their cosine is 0 or a NaN.
constexpr double kNearShare = 1.0 / 16;

struct SimilarityArgs {
  Similarity kind = Similarity::kCosine;
  const float* a = nullptr;  // [rows_a, width], dense
  const float* b = nullptr;  // [rows_b, width], dense
  int64_t rows_a = 0, rows_b = 0, width = 0;
  float* y = nullptr;    // [rows_a, rows_b]
  int64_t y_stride = 0;  // elements; 0 = rows_b
};

enum class Precision : int32_t { kInt8, kUint8, kBinary, kUbinary };

// kUint8: clip(floor((x - minimum) / step), 0, 255), step = (maximum - minimum) / 255, or 1 where that is 0
// (sentence-transformers), all in float32; kInt8: that - 128. kUbinary: bits x > 0, eight a byte, first dimension in
// the highest bit, the last byte filled with zeros; kBinary: that - 128.
struct QuantizeArgs {
  Precision precision = Precision::kInt8;
  const float* x = nullptr;  // [rows, width], dense
  int64_t rows = 0, width = 0;
  const float* minimum = nullptr;  // [width], for kInt8 and kUint8
  const float* maximum = nullptr;
  uint8_t* y = nullptr;  // [rows, width] or [rows, (width + 7) / 8]
};

}  // namespace embedcore
