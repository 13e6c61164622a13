// y = activation(x W^T + b) + residual
//   x [rows, in], W [out, in], b [out], residual [rows, out], y [rows, out]
// Each y element is one chain of additions over in = 0, 1, 2, ... that starts from b (or 0).
#pragma once

#include "ops/backend.h"

namespace embedcore {

struct LinearWeights {
  const float* weight;  // [out, in], dense
  const float* bias;    // [out] or null
  int64_t in, out;
};

struct LinearArgs {
  const PackedLinear* weights;
  const float* x;
  int64_t x_stride;
  float* y;  // may not overlap x; may be residual
  int64_t y_stride;
  int64_t rows;
  Activation activation;
  const float* residual;  // null = none
  int64_t residual_stride;
};

}  // namespace embedcore
