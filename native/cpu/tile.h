// The register tile under linear and attention: kRows rows of a times a panel of kVectors vectors of b.
#pragma once

#include "cpu/simd.h"

namespace embedcore::cpu::EMBEDCORE_ISA {

// sum[r][:] += a[r, k] * b[k, :] for k = 0 .. depth-1, one addition after the other: the order never depends on kRows.
//   a [kRows, depth] with a row stride; b [depth, kVectors * kWidth] with a row stride.
template <int kRows, int kVectors>
[[gnu::always_inline]] inline void multiply(Vec (&sum)[kRows][kVectors], const float* a, int64_t a_stride, const float* b, int64_t b_stride,
                                            int64_t depth) {
  for (int64_t k = 0; k < depth; ++k) {
    Vec column[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) column[v] = load(b + v * kWidth);
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) {
      const Vec value = broadcast(a[r * a_stride + k]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[r][v] += value * column[v];
    }
    b += b_stride;
  }
}

// Calls visit<rows, vectors>() for a tile at the edge of a matrix; 1 <= rows <= kTileRows, 1 <= vectors <= kPanelVectors.
template <int kVectors = kPanelVectors, int kRows = kTileRows, typename Visitor>
[[gnu::always_inline]] inline void with_tile(int64_t rows, int64_t vectors, Visitor&& visit) {
  if constexpr (kVectors > 1) {
    if (vectors < kVectors) return with_tile<kVectors - 1, kRows>(rows, vectors, visit);
  }
  if constexpr (kRows > 1) {
    if (rows < kRows) return with_tile<kVectors, kRows - 1>(rows, vectors, visit);
  }
  visit.template operator()<kRows, kVectors>();
}

// A growing block of memory that belongs to the calling thread, 64-byte aligned; null when memory ran out.
// One op uses it at a time and never across a call of another op.
float* thread_scratch(size_t floats);

}  // namespace embedcore::cpu::EMBEDCORE_ISA
