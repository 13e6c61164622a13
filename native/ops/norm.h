// layer: y = (x - mean(x)) / sqrt(var(x) + epsilon) * weight + bias      (var with 1/n)
// rms:   y = x / sqrt(mean(x^2) + epsilon) * weight
//   x, y [rows, width]; weight, bias [width], bias may be null. y may be x where it is float32.
#pragma once

#include "base/dtype.h"
#include "ops/backend.h"

namespace embedcore {

enum class NormKind : int32_t { kLayer, kRms };

struct NormArgs {
  NormKind kind = NormKind::kLayer;
  const float* x = nullptr;
  int64_t x_stride = 0;
  void* y = nullptr;  // y_dtype: float32, float16 or bfloat16
  int64_t y_stride = 0;
  int64_t rows = 0, width = 0;
  const float* weight = nullptr;  // null = ones
  const float* bias = nullptr;    // null = zeros
  float epsilon = 0;
  DType y_dtype = DType::kF32;
  // Kept for a backward pass, [rows] each; null = not kept. rstd = 1 / sqrt(var + epsilon) or 1 / sqrt(mean(x^2) +
  // epsilon); the mean of an rms norm is not written.
  float* mean = nullptr;
  float* rstd = nullptr;
};

// The gradient of the input, from x and what the forward pass kept; with n = (x - mean) rstd and g = dy weight:
//   layer: dx = rstd (g - mean(g) - n mean(g n))
//   rms:   dx = rstd (g - n mean(g n)), n = x rstd
// All rows float32. dx may be dy. With `add`, dx += instead.
struct NormGradientArgs {
  NormKind kind = NormKind::kLayer;
  const float* x = nullptr;
  int64_t x_stride = 0;
  const float* dy = nullptr;
  int64_t dy_stride = 0;
  float* dx = nullptr;
  int64_t dx_stride = 0;
  int64_t rows = 0, width = 0;
  const float* weight = nullptr;  // null = ones
  const float* mean = nullptr;    // [rows]; not read for rms
  const float* rstd = nullptr;    // [rows]
  bool add = false;
};

// dweight += sum_r dy[r] n[r], dbias += sum_r dy[r], each element one chain over the rows in order that begins with the
// value it has.
struct NormWeightGradientArgs {
  NormKind kind = NormKind::kLayer;
  const float* x = nullptr;
  int64_t x_stride = 0;
  const float* dy = nullptr;
  int64_t dy_stride = 0;
  int64_t rows = 0, width = 0;
  const float* mean = nullptr;
  const float* rstd = nullptr;
  float* dweight = nullptr;  // [width]; null = not wanted
  float* dbias = nullptr;    // [width]; null = not wanted
};

}  // namespace embedcore
