// y = activation(x W^T + b) + residual
//   x [rows, in], W [out, in], b [out], residual [rows, out], y [rows, out]
//
// The dtype of the weights says how the products are made; sums of a row have one fixed order whatever the call:
//   float32   each sum is one chain of additions over in = 0, 1, 2, ...; b comes last.
//   bfloat16  x and W are rounded to bfloat16 (to nearest even); products are exact, sums float32.
//             Denormal factors may count as zeros.
//   float16   x and W are rounded to float16 (to nearest even; 65520 and more to infinity); products are exact, sums
//             float32. Subnormal factors count as they are.
//   int8      With t[k] = smoothing[k] (1 where there is none), x' = x[k] * (1 / t[k]) and W' = W[o, k] * t[k], each
//   rounded to float32:
//             q[o, k] = round(W' * (127 / m[o])), m[o] = max_k |W'|, s[o] = m[o] / 127; a row of W' below 1e-30 counts
//             as zeros. x': one range a row, see RowRange; u[k] = clip(round(x' * inverse) + zero, 0, 255). y =
//             activation(step s[o] sum_k (u[k] - zero) q[o, k] + b) + residual, the sum exact in int32. A row that
//             holds a value that is not finite, or whose range is not, gives NaN. W' must be finite. in is at most
//             kMostInt8Inputs.
// x and y may be float32, float16 or bfloat16 rows; bias, residual and everything after the sum are float32. Where y is
// of 16 bits, activations may be off by what its rounding hides: GELU and SiLU by 2^-10 |x|, tanh and sigmoid by 2^-10
// in bfloat16; 2^-13 |x| and 2^-13 in float16.
#pragma once

#include <cmath>
#include <limits>

#include "base/dtype.h"
#include "ops/backend.h"
#include "ops/dropout.h"

namespace embedcore {

enum class LinearUse : int32_t {
  kForward,
  kForwardAndBackward,  // also packed for dX = dY W, and repacked after each step of an optimiser
};

// In host memory: as a file has them, or float32.
struct LinearWeights {
  const void* weight = nullptr;  // [out, in], dense, of weight_dtype
  const float* bias = nullptr;   // [out] or null
  int64_t in = 0, out = 0;
  DType dtype = DType::kF32;         // kF32, kF16, kBF16 or kI8: the arithmetic
  DType weight_dtype = DType::kF32;  // of `weight`: kF32, kF16 or kBF16
  const float* smoothing = nullptr;  // [in], all above 0, or null; int8 only: moves size from the inputs to the weights
  LinearUse use = LinearUse::kForward;
};

// One low-rank update of a linear (LoRA, Hu et al. 2021): y[:, first .. first + count) += scale * (d(x) A^T) B^T,
// before the activation; d is dropout. The queries, keys and values of a stacked matrix are three parts, as PEFT has
// them; parts do not overlap. The list of parts is host memory. The sums of y go on over the rank, with the products of
// d(x) A^T and scale * B. In bfloat16 and float16 d(x), A, scale * B and the sums d(x) A^T are rounded as x and W are;
// int8 weights take parts in float32, without smoothing.
struct LoraPart {
  int64_t first = 0, count = 0, rank = 0;
  const float* a = nullptr;  // [rank, in]
  const float* b = nullptr;  // [count, rank]
  float scale = 0;           // alpha / rank
  float* middle = nullptr;   // [rows, rank] d(x) A^T, not rounded, kept for a backward pass; null = not kept
  Dropout dropout{};         // of the part's input
};

constexpr int32_t kMostLoraParts = 8;  // of a linear

struct LinearArgs {
  const PackedLinear* weights = nullptr;
  const void* x = nullptr;  // x_dtype
  int64_t x_stride = 0;
  void* y = nullptr;  // y_dtype; may not overlap x; float32 may be residual
  int64_t y_stride = 0;
  int64_t rows = 0;
  Activation activation = Activation::kIdentity;
  const float* residual = nullptr;  // null = none
  int64_t residual_stride = 0;
  DType x_dtype = DType::kF32, y_dtype = DType::kF32;
  const LoraPart* lora = nullptr;
  int32_t lora_parts = 0;
  Dropout dropout{};  // of activation(x W^T + b), before the residual is added
};

// The gradient of the input: dx = dz W, or dx += dz W, where z = x W^T + b.
//   dz [rows, out], dx [rows, in], float32. The weights were packed for kForwardAndBackward; dz is rounded as they are
//   (float32 or bfloat16). A sum is one chain over out = 0, 1, 2, ...
//   With LoRA: dx += d(dz[:, first ..] (scale * B) A), d the part's dropout; parts in order after W. `middle` receives
//   dz[:, first ..] (scale * B) [rows, rank], which the gradient of A needs; it may not be null. Rounding as forward.
struct LinearInputGradientArgs {
  const PackedLinear* weights = nullptr;
  const float* dz = nullptr;
  int64_t dz_stride = 0;
  float* dx = nullptr;  // may not overlap dz
  int64_t dx_stride = 0;
  int64_t rows = 0;
  bool add = false;
  const LoraPart* lora = nullptr;
  int32_t lora_parts = 0;
};

// The gradients of the weights: dweight[o, k] += sum_r (scale * dz[r, o]) x[r, k], dbias[o] += sum_r scale * dz[r, o].
//   x [rows, in] of x_dtype, dz [rows, out] float32, dweight [out, in] dense. In bfloat16 x and scale * dz are rounded.
//   Also for the matrices of LoRA: dA of the input gradient's `middle` and d(x), dB of dz[:, first ..] and the forward
//   `middle`, with the part's scale. The order of a sum depends on the number of rows alone. On a CPU it is one chain
//   that begins with the value in dweight, over row = 0, 1, 2, ..., so calls for successive runs of rows give the bits
//   of one call. In bfloat16 it goes over pairs of rows, a row that is missing being zeros: each run but the last must
//   have an even number of rows for that.
struct LinearWeightGradientArgs {
  const void* x = nullptr;
  int64_t x_stride = 0;
  DType x_dtype = DType::kF32;
  const float* dz = nullptr;
  int64_t dz_stride = 0;
  int64_t rows = 0, in = 0, out = 0;
  DType dtype = DType::kF32;  // kF32 or kBF16: the arithmetic
  float scale = 1;
  float* dweight = nullptr;  // null = not wanted
  float* dbias = nullptr;    // null = not wanted; sums of unrounded dz
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
