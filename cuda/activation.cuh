// The activations (ops/backend.h) of one value: accurate for float32 results; for results that are rounded to 16 bits
// forms without erf and tanh, whose error the rounding hides (ops/linear.h). A NaN stays a NaN.
//
// Errors of the short forms: GELU 7e-5 |x|, GELU by tanh 6e-5 |x|, the others below 1e-6 |x| (SiLU) or 1e-6.
// tanh.approx of the hardware would be one instruction, but is off by 2^-11.
//
// No product is left to be fused with what a kernel adds to it, so that all kernels give the same bits.
#pragma once

#include <type_traits>

#include "launch.h"
#include "ops/backend.h"

namespace embedcore::cuda {

constexpr float kLog2E = 1.44269504f;

// x times a distribution function: 1/2 plus x times a minimax polynomial of x^2. Beyond `cut` it is 0 or 1.
GPU float gelu_by_polynomial(float x, float cut, const float (&coefficient)[7]) {
  const float inside = minimum(cut, maximum(-cut, x));
  const float square = inside * inside;
  float sum = coefficient[6];
  UNROLL
  for (int i = 5; i >= 0; --i) sum = multiply_add(sum, square, coefficient[i]);
  return multiply(x, multiply_add(sum, inside, 0.5f));
}

GPU float short_sigmoid(float x) { return fast_divide(1.0f, 1.0f + fast_exp2(x * -kLog2E)); }

template <Activation kKind>
GPU float short_activation(float x) {
  if constexpr (kKind == Activation::kGelu)
    return gelu_by_polynomial(x, 3.8f,
                              {0.398676723f, -0.0657197461f, 0.00931660831f, -0.000931540388f, 6.06838621e-05f,
                               -2.27240412e-06f, 3.66564201e-08f});
  if constexpr (kKind == Activation::kGeluTanh)
    return gelu_by_polynomial(x, 3.65f,
                              {0.398727f, -0.0661537722f, 0.00960285496f, -0.00100395188f, 6.95266353e-05f,
                               -2.7955241e-06f, 4.86689125e-08f});
  if constexpr (kKind == Activation::kSilu) return multiply(x, short_sigmoid(x));
  if constexpr (kKind == Activation::kTanh) return multiply_add(2.0f, short_sigmoid(x + x), -1.0f);
  if constexpr (kKind == Activation::kSigmoid) return short_sigmoid(x);
  if constexpr (kKind == Activation::kRelu) return x < 0.0f ? 0.0f : x;
  return x;
}

template <Activation kKind>
GPU float accurate_activation(float x) {
  if constexpr (kKind == Activation::kGelu) return multiply(0.5f * x, 1.0f + exact_erf(multiply(x, 0.707106781f)));
  if constexpr (kKind == Activation::kGeluTanh)
    return multiply(0.5f * x, 1.0f + exact_tanh(multiply(0.797884561f, multiply_add(0.044715f * x * x, x, x))));
  if constexpr (kKind == Activation::kSilu) return x / (1.0f + exact_exp(-x));
  if constexpr (kKind == Activation::kTanh) return exact_tanh(x);
  if constexpr (kKind == Activation::kSigmoid) return 1.0f / (1.0f + exact_exp(-x));
  return short_activation<kKind>(x);
}

template <Activation kKind, typename Y, int kCount>
GPU void activate_each(float (&x)[kCount]) {
  UNROLL
  for (float& value : x) {
    if constexpr (sizeof(Y) == sizeof(float))
      value = accurate_activation<kKind>(value);
    else
      value = short_activation<kKind>(value);
  }
}

// Replaces every x by its activation, for results of type Y (float, bf16 or f16).
template <typename Y, int kCount>
GPU void activate_all(Activation kind, float (&x)[kCount]) {
  switch (kind) {
    case Activation::kIdentity: return;
    case Activation::kGelu: return activate_each<Activation::kGelu, Y>(x);
    case Activation::kGeluTanh: return activate_each<Activation::kGeluTanh, Y>(x);
    case Activation::kRelu: return activate_each<Activation::kRelu, Y>(x);
    case Activation::kSilu: return activate_each<Activation::kSilu, Y>(x);
    case Activation::kTanh: return activate_each<Activation::kTanh, Y>(x);
    case Activation::kSigmoid: return activate_each<Activation::kSigmoid, Y>(x);
  }
}

template <typename Y>
GPU float activate(Activation kind, float x) {
  float value[1] = {x};
  activate_all<Y>(kind, value);
  return value[0];
}

}  // namespace embedcore::cuda
