// Finished vectors: normalise, compare, quantise.
#pragma once

#include "ops/backend.h"

namespace embedcore {

// x[i] /= max(|x[i]|_2, 1e-12), in place (torch.nn.functional.normalize).
struct NormalizeArgs {
  float* x = nullptr;
  int64_t stride = 0;
  int64_t rows = 0, width = 0;
};

enum class Similarity : int32_t { kCosine, kDot, kEuclidean, kManhattan };

// y[i, j] = similarity(a_i, b_j); the distances are negated, so that greater is nearer (sentence-transformers).
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
