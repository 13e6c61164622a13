// Vectorised exp, tanh, erf and the activations made of them. Error bounds are those that test/native/math_test.cc
// measures against float64 over a dense grid: exp 1.5 ulp, tanh 2 ulp, erf 5e-7 absolute. A NaN gives a NaN.
//
// The `fast` functions are for results that are rounded to bfloat16, whose half unit is 2^-9 of the value. Their errors
// are: fast_exp2 8e-5 relative, GELU 8e-5 |x|, the others 1.5e-4 |x| (SiLU, GELU by tanh) or 1.5e-4 (tanh, sigmoid).
#pragma once

#include "cpu/simd.h"

namespace embedcore::cpu::EMBEDCORE_ISA {

// 2^n, made from the exponent bits, times a polynomial of the rest, |rest| <= ln(2) / 2. Clamped: below -87.3 gives
// about 1e-38, above 88.3 about 2e38.
inline Vec exp(Vec x) {
  x = minimum(broadcast(88.37f), maximum(broadcast(-87.33f), x));
  const Vec magic = broadcast(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
  const Vec shifted = x * broadcast(1.44269504f) + magic;
  const Vec n = shifted - magic;
  Vec r = x - n * broadcast(0.693359375f);
  r = r - n * broadcast(-2.12194440e-4f);
  Vec p = broadcast(1.9875691500e-4f);
  p = p * r + broadcast(1.3981999507e-3f);
  p = p * r + broadcast(8.3334519073e-3f);
  p = p * r + broadcast(4.1665795894e-2f);
  p = p * r + broadcast(1.6666665459e-1f);
  p = p * r + broadcast(5.0000001201e-1f);
  p = p * (r * r) + r + broadcast(1.0f);
  const WordVec exponent = reinterpret_cast<WordVec>(shifted) - reinterpret_cast<WordVec>(magic);
  return p * reinterpret_cast<Vec>((exponent + 127) << 23);
}

// A quotient of odd and even polynomials on |x| <= 4; at 4, erf is 1 in float32.
inline Vec erf(Vec x) {
  x = minimum(broadcast(4.0f), maximum(broadcast(-4.0f), x));
  const Vec s = x * x;
  Vec p = broadcast(-2.72614225801306e-10f);
  p = p * s + broadcast(2.77068142495902e-08f);
  p = p * s + broadcast(-2.10102402082508e-06f);
  p = p * s + broadcast(-5.69250639462346e-05f);
  p = p * s + broadcast(-7.34990630326855e-04f);
  p = p * s + broadcast(-2.95459980854025e-03f);
  p = p * s + broadcast(-1.60960333262415e-02f);
  Vec q = broadcast(-1.45660718464996e-05f);
  q = q * s + broadcast(-2.13374055278905e-04f);
  q = q * s + broadcast(-1.68282697438203e-03f);
  q = q * s + broadcast(-7.37332916720468e-03f);
  q = q * s + broadcast(-1.42647390514189e-02f);
  return x * p / q;
}

// rest = 2 / (e^(2|x|) + 1), which is 1 - |tanh(x)| without cancellation (slope.h).
inline Vec tanh(Vec x, Vec& rest) {
  const Vec size = maximum(x, -x);
  const Vec s = x * x;
  Vec p = broadcast(-5.70498872745e-3f);
  p = p * s + broadcast(2.06390887954e-2f);
  p = p * s + broadcast(-5.37397155531e-2f);
  p = p * s + broadcast(1.33314422036e-1f);
  p = p * s + broadcast(-3.33332819422e-1f);
  const Vec near = p * s * x + x;  // near zero 1 - 2 / (e^2x + 1) would cancel
  rest = broadcast(2.0f) / (exp(size + size) + broadcast(1.0f));
  const Vec far = broadcast(1.0f) - rest;
  return size < broadcast(0.625f) ? near : (x < broadcast(0.0f) ? -far : far);
}
inline Vec tanh(Vec x) {
  Vec rest;
  return tanh(x, rest);
}

inline Vec sigmoid(Vec x) { return broadcast(1.0f) / (broadcast(1.0f) + exp(-x)); }

// 2^x as 2^n times a minimax polynomial of degree 3 of the rest, |rest| <= 1/2. Clamped: below -126 gives about 1e-38.
inline Vec fast_exp2(Vec x) {
  x = minimum(broadcast(127.0f), maximum(broadcast(-126.0f), x));
  const Vec magic = broadcast(12582912.0f + 127.0f);  // see exp; the lowest bits are the exponent as floats write it
  const Vec shifted = x + magic;
  const Vec r = x - (shifted - magic);
  Vec p = broadcast(0.0551717746f);
  p = p * r + broadcast(0.242611372f);
  p = p * r + broadcast(0.69326097f);
  p = p * r + broadcast(0.999928027f);
  return p * reinterpret_cast<Vec>(reinterpret_cast<WordVec>(shifted) << 23);
}

constexpr float kLog2E = 1.44269504f;

inline Vec fast_sigmoid(Vec x) { return broadcast(1.0f) / (broadcast(1.0f) + fast_exp2(x * broadcast(-kLog2E))); }

// The normal distribution function: 1/2 plus an odd minimax polynomial; x is clamped at 3.8, where the polynomial
// reaches 1/2.
inline Vec fast_normal(Vec x) {
  const Vec cut = minimum(broadcast(3.8f), maximum(broadcast(-3.8f), x));
  const Vec s = cut * cut;
  Vec p = broadcast(3.65912703e-08f);
  p = p * s + broadcast(-2.26207832e-06f);
  p = p * s + broadcast(6.0338053e-05f);
  p = p * s + broadcast(-0.000926914098f);
  p = p * s + broadcast(0.00928981478f);
  p = p * s + broadcast(-0.0656620138f);
  p = p * s + broadcast(0.398645785f);
  return p * cut + broadcast(0.5f);
}

inline Vec fast_gelu(Vec x) { return x * fast_normal(x); }

template <Activation kind>
inline Vec activate(Vec x) {
  if constexpr (kind == Activation::kGelu)
    return broadcast(0.5f) * x * (broadcast(1.0f) + erf(x * broadcast(0.70710678f)));
  if constexpr (kind == Activation::kGeluTanh) {
    const Vec inner = broadcast(0.79788456f) * (x + broadcast(0.044715f) * x * x * x);
    return broadcast(0.5f) * x * (broadcast(1.0f) + tanh(inner));
  }
  if constexpr (kind == Activation::kRelu) return maximum(broadcast(0.0f), x);
  if constexpr (kind == Activation::kSilu) return x * sigmoid(x);
  if constexpr (kind == Activation::kTanh) return tanh(x);
  if constexpr (kind == Activation::kSigmoid) return sigmoid(x);
  return x;
}

template <Activation kind>
inline Vec fast_activate(Vec x) {
  if constexpr (kind == Activation::kGelu) return fast_gelu(x);
  if constexpr (kind == Activation::kGeluTanh)
    return x * fast_sigmoid(broadcast(1.59576912f) * (x + broadcast(0.044715f) * x * x * x));
  if constexpr (kind == Activation::kSilu) return x * fast_sigmoid(x);
  if constexpr (kind == Activation::kTanh) return broadcast(2.0f) * fast_sigmoid(x + x) - broadcast(1.0f);
  if constexpr (kind == Activation::kSigmoid) return fast_sigmoid(x);
  return activate<kind>(x);
}

// The fast form if the result is rounded to bfloat16.
template <Activation kind, typename Element>
inline Vec activate_for(Vec x) {
  if constexpr (sizeof(Element) < sizeof(float))
    return fast_activate<kind>(x);
  else
    return activate<kind>(x);
}

// Calls visit with the activation as a compile-time constant, so that loops are specialised and the choice is made
// once.
template <typename Visitor>
inline void with_activation(Activation kind, Visitor&& visit) {
  switch (kind) {
    case Activation::kIdentity: return visit.template operator()<Activation::kIdentity>();
    case Activation::kGelu: return visit.template operator()<Activation::kGelu>();
    case Activation::kGeluTanh: return visit.template operator()<Activation::kGeluTanh>();
    case Activation::kRelu: return visit.template operator()<Activation::kRelu>();
    case Activation::kSilu: return visit.template operator()<Activation::kSilu>();
    case Activation::kTanh: return visit.template operator()<Activation::kTanh>();
    case Activation::kSigmoid: return visit.template operator()<Activation::kSigmoid>();
  }
}

}  // namespace embedcore::cpu::EMBEDCORE_ISA
