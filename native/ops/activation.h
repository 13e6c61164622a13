// The element-wise part of a feed-forward.
//   gated:     y[:, j] = activation(x[:, j]) * x[:, width + j]   (SwiGLU, GeGLU); x [rows, 2 * width]: gate, then up
//   otherwise: y[:, j] = activation(x[:, j])                     x [rows, width]
// y [rows, width]; x and y are both float32, float16 or bfloat16 (in 16 bits activations may be off as in linear.h);
// y may be x. Inference fuses the ungated activation into the linear before it (linear.h); training runs it here, so
// that x is kept.
#pragma once

#include "base/dtype.h"
#include "ops/backend.h"

namespace embedcore {

struct ActivationArgs {
  const void* x = nullptr;  // dtype
  int64_t x_stride = 0;
  void* y = nullptr;  // dtype
  int64_t y_stride = 0;
  int64_t rows = 0, width = 0;
  Activation activation = Activation::kIdentity;
  bool gated = false;
  DType dtype = DType::kF32;
};

// The gradient of the input, and the output once more, so that a forward pass need not keep it.
//   gated:     dx[:, j] = dy[:, j] x[:, width + j] activation'(x[:, j])
//              dx[:, width + j] = dy[:, j] activation(x[:, j])
//   otherwise: dx[:, j] = dy[:, j] activation'(x[:, j])
// relu'(0) = 0; a NaN in x gives a NaN. x as in ActivationArgs; dy [rows, width] and dx, of x's width, are float32. Not
// gated, dx may be dy. Where x is of 16 bits, activation' may be off by 2^-10 in bfloat16 and 2^-13 in float16.
struct ActivationGradientArgs {
  const void* x = nullptr;  // dtype
  int64_t x_stride = 0;
  const float* dy = nullptr;
  int64_t dy_stride = 0;
  float* dx = nullptr;
  int64_t dx_stride = 0;
  void* y = nullptr;  // dtype, the same bits as the forward pass wrote; null = not wanted
  int64_t y_stride = 0;
  int64_t rows = 0, width = 0;
  Activation activation = Activation::kIdentity;
  bool gated = false;
  DType dtype = DType::kF32;
};

}  // namespace embedcore
