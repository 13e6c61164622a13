// layer: y = (x - mean(x)) / sqrt(var(x) + epsilon) * weight + bias      (var with 1/n)
// rms:   y = x / sqrt(mean(x^2) + epsilon) * weight
//   x, y [rows, width]; weight, bias [width], bias may be null. y may be x where it is float32.
#pragma once

#include "base/dtype.h"
#include "ops/backend.h"

namespace embedcore {

enum class NormKind : int32_t { kLayer, kRms };

struct NormArgs {
  NormKind kind;
  const float* x;
  int64_t x_stride;
  void* y;  // y_dtype: float32 or bfloat16
  int64_t y_stride;
  int64_t rows, width;
  const float* weight;  // null = ones
  const float* bias;    // null = zeros
  float epsilon;
  DType y_dtype = DType::kF32;
};

}  // namespace embedcore
