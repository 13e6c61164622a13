// The activations with their derivatives, which share the costly parts: GELU one erf, the others one exp.
//
// A value has the same bits as activate and fast_activate give (math.h). For that, no product that becomes part of a
// fused multiply-add there may be used a second time here, because the compiler would then round it.
//
// Bounds of the derivatives, measured by test/native/ops_activation_gradient_test.cc: GELU, also by tanh, 3e-7, SiLU
// 4e-7, tanh and sigmoid 5e-7 of themselves. The fast ones, for 16-bit rows: 1e-4.
#pragma once

#include "cpu/math.h"

namespace embedcore::cpu::EMBEDCORE_ISA {

struct Activated {
  Vec value, slope;
};

inline Vec clamp(Vec x, float limit) { return minimum(broadcast(limit), maximum(broadcast(-limit), x)); }

constexpr float kDensityAtZero = 0.39894228f;  // of the normal distribution: 1 / sqrt(2 pi)

// x beyond these limits has the slope of the limit: the density, or the rest of tanh, is about 1e-37 there, and a large
// x must not make more of it.
constexpr float kMostForDensity = 13.0f, kMostForTanh = 10.0f, kMostForSigmoid = 87.0f;

// GELU by tanh is x / 2 (1 + tanh(u)) = x sigmoid(2 u); 2 u'.
inline Vec twice_inner_slope(Vec x) { return broadcast(1.59576912f) + broadcast(3 * 0.044715f * 1.59576912f) * x * x; }

template <Activation kind>
inline Activated activate_with_slope(Vec x) {
  const Vec one = broadcast(1.0f), half = broadcast(0.5f);
  if constexpr (kind == Activation::kGelu) {
    const Vec twice = one + erf(x * broadcast(0.70710678f));  // of the distribution function
    const Vec cut = clamp(x, kMostForDensity);
    const Vec density = broadcast(kDensityAtZero) * exp(broadcast(-0.5f) * cut * cut);
    return {half * x * twice, half * twice + cut * density};
  }
  if constexpr (kind == Activation::kGeluTanh) {
    const Vec inner = broadcast(0.79788456f) * (x + broadcast(0.044715f) * x * x * x);
    Vec rest;
    const Vec twice = one + tanh(inner, rest);
    const Vec cut = clamp(x, kMostForTanh);
    const Vec steep = broadcast(0.25f) * twice_inner_slope(cut) * (rest * (broadcast(2.0f) - rest));
    return {half * x * twice, half * twice + cut * steep};
  }
  if constexpr (kind == Activation::kRelu) {
    const Vec zero = {};
    return {maximum(zero, x), x > zero ? one : (x == x ? zero : x)};
  }
  if constexpr (kind == Activation::kSilu || kind == Activation::kSigmoid) {
    const Vec e = exp(-x), low = one / (one + e), high = e * low;  // sigmoid(x), sigmoid(-x)
    if constexpr (kind == Activation::kSigmoid) return {low, low * high};
    return {x * low, low * (one + clamp(x, kMostForSigmoid) * high)};
  }
  if constexpr (kind == Activation::kTanh) {
    Vec rest;
    const Vec value = tanh(x, rest);
    return {value, rest * (broadcast(2.0f) - rest)};
  }
  return {x, one};
}

// fast_sigmoid(x) and fast_sigmoid(-x)
struct FastSigmoids {
  Vec low, high;
};
inline FastSigmoids fast_sigmoids(Vec x) {
  const Vec e = fast_exp2(x * broadcast(-kLog2E)), low = broadcast(1.0f) / (broadcast(1.0f) + e);
  return {low, e * low};
}

template <Activation kind>
inline Activated fast_activate_with_slope(Vec x) {
  const Vec one = broadcast(1.0f);
  if constexpr (kind == Activation::kGelu) {
    const Vec below = fast_normal(x), cut = clamp(x, kMostForDensity);
    const Vec density = broadcast(kDensityAtZero) * fast_exp2(broadcast(-0.5f * kLog2E) * cut * cut);
    return {x * below, below + cut * density};
  }
  if constexpr (kind == Activation::kGeluTanh) {
    const auto [low, high] = fast_sigmoids(broadcast(1.59576912f) * (x + broadcast(0.044715f) * x * x * x));
    const Vec cut = clamp(x, kMostForTanh);
    return {x * low, low * (one + cut * (twice_inner_slope(cut) * high))};
  }
  if constexpr (kind == Activation::kSilu) {
    const auto [low, high] = fast_sigmoids(x);
    return {x * low, low * (one + clamp(x, kMostForSigmoid) * high)};
  }
  if constexpr (kind == Activation::kTanh) {
    const auto [low, high] = fast_sigmoids(x + x);
    return {broadcast(2.0f) * low - one, broadcast(4.0f) * (low * high)};
  }
  if constexpr (kind == Activation::kSigmoid) {
    const auto [low, high] = fast_sigmoids(x);
    return {low, low * high};
  }
  return activate_with_slope<kind>(x);
}

// The fast form where x and the value are of 16 bits, as activate_for.
template <Activation kind, typename Element>
inline Activated activate_with_slope_for(Vec x) {
  if constexpr (sizeof(Element) < sizeof(float))
    return fast_activate_with_slope<kind>(x);
  else
    return activate_with_slope<kind>(x);
}

}  // namespace embedcore::cpu::EMBEDCORE_ISA
