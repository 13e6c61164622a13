// The middle of a gated feed-forward (SwiGLU, GeGLU): y[:, j] = activation(x[:, j]) * x[:, width + j]
//   x [rows, 2 * width]: gate, then up; y [rows, width]. y may be x.
#pragma once

#include "ops/backend.h"

namespace embedcore {

struct GateArgs {
  const float* x;
  int64_t x_stride;
  float* y;
  int64_t y_stride;
  int64_t rows, width;
  Activation activation;
};

}  // namespace embedcore
