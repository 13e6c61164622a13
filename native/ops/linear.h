// y = activation(x W^T + b) + residual
//   x [rows, in], W [out, in], b [out], residual [rows, out], y [rows, out]
//
// The dtype of the weights says how the products are made; sums of a row have one fixed order whatever the call:
//   float32   each sum is one chain of additions over in = 0, 1, 2, ...; b comes last.
//   bfloat16  x and W are rounded to bfloat16 (to nearest even); products are exact, sums float32.
//             Denormal factors may count as zeros.
//   int8      With t[k] = smoothing[k] (1 where there is none), x' = x[k] * (1 / t[k]) and W' = W[o, k] * t[k], each
//   rounded to float32:
//             q[o, k] = round(W' * (127 / m[o])), m[o] = max_k |W'|, s[o] = m[o] / 127; a row of W' below 1e-30 counts
//             as zeros. x': one range a row, see RowRange; u[k] = clip(round(x' * inverse) + zero, 0, 255). y =
//             activation(step s[o] sum_k (u[k] - zero) q[o, k] + b) + residual, the sum exact in int32. A row that
//             holds a value that is not finite, or whose range is not, gives NaN. W' must be finite. in is at most
//             kMostInt8Inputs.
// x and y may be float32 or bfloat16 rows; bias, residual and everything behind the sum are float32. Where y is
// bfloat16, activations may be off by what its rounding hides: GELU and SiLU by 2^-10 |x|, tanh and sigmoid by 2^-10.
#pragma once

#include <cmath>
#include <limits>

#include "base/dtype.h"
#include "ops/backend.h"

namespace embedcore {

struct LinearWeights {
  const float* weight;  // [out, in], dense
  const float* bias;    // [out] or null
  int64_t in, out;
  DType dtype = DType::kF32;  // kF32, kBF16 or kI8: the arithmetic
  const float* smoothing =
      nullptr;  // [in], all above 0, or null; int8 only: takes size from large inputs and gives it to their weights
};

struct LinearArgs {
  const PackedLinear* weights;
  const void* x;  // x_dtype
  int64_t x_stride;
  void* y;  // y_dtype; may not overlap x; float32 may be residual
  int64_t y_stride;
  int64_t rows;
  Activation activation;
  const float* residual;  // null = none
  int64_t residual_stride;
  DType x_dtype = DType::kF32, y_dtype = DType::kF32;
};

// (u - zero) q summed over more inputs than this could pass int32.
constexpr int64_t kMostInt8Inputs = int64_t{1} << 16;

// How a row of x becomes unsigned bytes: 0 is always one of the levels, so that a ReLU's or GELU's many near-zeros cost
// no range.
struct RowRange {
  float step, inverse;  // inverse = 1 / step, 0 for a row of zeros
  int32_t zero;
};

// low <= 0 <= high: the least and the greatest of the row and 0. Ranges too small to invert count as zeros; what is not
// finite gives a step of NaN.
static inline RowRange row_range(float low, float high) {
  const float range = high - low;
  if (!std::isfinite(range)) return {std::numeric_limits<float>::quiet_NaN(), 0.0f, 0};
  if (range <= 1e-30f) return {0.0f, 0.0f, 0};
  const float inverse = 255.0f / range;
  return {range / 255.0f, inverse, static_cast<int32_t>(std::nearbyint(-low * inverse))};
}

}  // namespace embedcore
