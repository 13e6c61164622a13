// The middle of a gated feed-forward (SwiGLU, GeGLU): y[:, j] = activation(x[:, j]) * x[:, width + j]
//   x [rows, 2 * width]: gate, then up; y [rows, width]; both float32 or both bfloat16. y may be x.
#pragma once

#include "base/dtype.h"
#include "ops/backend.h"

namespace embedcore {

struct GateArgs {
  const void* x;  // dtype
  int64_t x_stride;
  void* y;  // dtype
  int64_t y_stride;
  int64_t rows, width;
  Activation activation;
  DType dtype = DType::kF32;
};

}  // namespace embedcore
