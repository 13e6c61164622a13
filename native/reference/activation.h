// The activation functions and their derivatives in float64.
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

// activate'(x)
inline double activation_slope(Activation kind, double x) {
  switch (kind) {
    case Activation::kIdentity: return 1.0;
    case Activation::kGelu:
      return 0.5 * std::erfc(-x / std::numbers::sqrt2) + x * std::exp(-0.5 * x * x) / std::sqrt(2.0 * std::numbers::pi);
    case Activation::kGeluTanh: {
      const double factor = std::sqrt(2.0 / std::numbers::pi);
      const double inner = factor * (x + 0.044715 * x * x * x), bend = factor * (1.0 + 3 * 0.044715 * x * x);
      const double cosine = std::cosh(inner);  // infinite beyond 710
      return 0.5 * (1.0 + std::tanh(inner)) + 0.5 * (x / cosine) * (bend / cosine);
    }
    case Activation::kRelu: return std::isnan(x) ? x : x > 0.0 ? 1.0 : 0.0;
    case Activation::kSilu: {
      const double low = 1.0 / (1.0 + std::exp(-x)), high = 1.0 / (1.0 + std::exp(x));
      return low * (1.0 + x * high);
    }
    case Activation::kTanh: return 1.0 / std::cosh(x) / std::cosh(x);
    case Activation::kSigmoid: return 1.0 / (1.0 + std::exp(-x)) / (1.0 + std::exp(x));
  }
  return 1.0;
}

}  // namespace embedcore::reference
