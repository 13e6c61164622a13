// The activation functions in float64.
#pragma once

#include <cmath>
#include <numbers>

#include "ops/backend.h"

namespace embedcore::reference {

inline double activate(Activation kind, double x) {
  switch (kind) {
    case Activation::kIdentity: return x;
    case Activation::kGelu: return 0.5 * x * std::erfc(-x / std::numbers::sqrt2);
    case Activation::kGeluTanh:
      return 0.5 * x * (1.0 + std::tanh(std::sqrt(2.0 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
    case Activation::kRelu: return x < 0.0 ? 0.0 : x;  // NaN is kept
    case Activation::kSilu: return x / (1.0 + std::exp(-x));
    case Activation::kTanh: return std::tanh(x);
    case Activation::kSigmoid: return 1.0 / (1.0 + std::exp(-x));
  }
  return x;
}

}  // namespace embedcore::reference
