// Squares, lengths and distances of vectors.
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

// Sum of the squared differences, for pairs where the difference of squares would cancel.
inline float squared_distance(const float* a, const float* b, int64_t width) {
  constexpr int kChains = 4;
  Vec total[kChains] = {};
  int64_t i = 0;
  for (; i + kChains * kWidth <= width; i += kChains * kWidth) {
    for (int chain = 0; chain < kChains; ++chain) {
      const Vec d = load(a + i + chain * kWidth) - load(b + i + chain * kWidth);
      total[chain] += d * d;
    }
  }
  for (; i < width; i += kWidth) {
    const Vec d = load_upto(a + i, width - i) - load_upto(b + i, width - i);
    total[0] += d * d;
  }
  return sum_lanes((total[0] + total[1]) + (total[2] + total[3]));
}

constexpr float kLeastLength = 1e-12f;

// |x|, but at least kLeastLength, so that it can be a divisor.
inline float length_of(const float* x, int64_t width) {
  return std::max(std::sqrt(sum_squares(x, width)), kLeastLength);
}

}  // namespace embedcore::cpu::EMBEDCORE_ISA
