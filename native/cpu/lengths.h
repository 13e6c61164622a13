// Squares and lengths of vectors.
#pragma once

#include <algorithm>
#include <cmath>

#include "cpu/simd.h"

namespace embedcore::cpu::EMBEDCORE_ISA {

inline float sum_squares(const float* x, int64_t width) {
  const int64_t whole = width / kWidth * kWidth;
  Vec total = {};
  for (int64_t i = 0; i < whole; i += kWidth) {
    const Vec value = load(x + i);
    total += value * value;
  }
  if (whole < width) {
    const Vec value = load_part(x + whole, width - whole);
    total += value * value;
  }
  return sum_lanes(total);
}

constexpr float kLeastLength = 1e-12f;

// |x|, but at least kLeastLength, so that it can be a divisor.
inline float length_of(const float* x, int64_t width) {
  return std::max(std::sqrt(sum_squares(x, width)), kLeastLength);
}

}  // namespace embedcore::cpu::EMBEDCORE_ISA
