// Products of float32 matrices that lie in the cache, of whole register tiles (tile.h): what the backward pass of
// attention is made of.
#pragma once

#include <algorithm>

#include "cpu/tile.h"

namespace embedcore::cpu::EMBEDCORE_ISA {

// Where the elements of the left side a lie: kRows: a[r * a_stride + k]; kColumns: a[k * a_stride + r], so that it is
// multiplied transposed.
enum class Left { kRows, kColumns };

struct Matrix {
  const float* data;
  int64_t stride;
};

template <Left kLeft, int kRows, int kVectors>
[[gnu::always_inline]] inline void multiply_floats(Vec (&sum)[kRows][kVectors], Matrix a, Matrix b, int64_t steps) {
  for (int64_t k = 0; k < steps; ++k) {
    const float* left = kLeft == Left::kRows ? a.data + k : a.data + k * a.stride;
    const float* right = b.data + k * b.stride;
    Vec column[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) column[v] = load(right + v * kWidth);
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) {
      const Vec value = broadcast(left[kLeft == Left::kRows ? r * a.stride : r]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[r][v] += value * column[v];
    }
  }
}

template <Left kLeft, int kMostRows, int kMostVectors>
void multiply_tiles(float* c, int64_t c_stride, Matrix a, Matrix b, int64_t rows, int64_t vectors, int64_t steps,
                    bool add) {
  for (int64_t first = 0; first < vectors; first += kMostVectors) {
    const int64_t across = std::min<int64_t>(kMostVectors, vectors - first);
    int64_t tiles = divide_up(rows, kMostRows);
    for (int64_t r = 0; r < rows; --tiles) {
      const int64_t height = divide_up(rows - r, tiles);
      with_tile<kMostVectors, kMostRows>(height, across, [&]<int kRows, int kVectors>() {
        float* to = c + r * c_stride + first * kWidth;
        Vec sum[kRows][kVectors] = {};
        if (add)
          for (int i = 0; i < kRows; ++i)
            for (int v = 0; v < kVectors; ++v) sum[i][v] = load(to + i * c_stride + v * kWidth);
        const Matrix left{a.data + (kLeft == Left::kRows ? r * a.stride : r), a.stride};
        multiply_floats<kLeft>(sum, left, {b.data + first * kWidth, b.stride}, steps);
        for (int i = 0; i < kRows; ++i)
          for (int v = 0; v < kVectors; ++v) store(to + i * c_stride + v * kWidth, sum[i][v]);
      });
      r += height;
    }
  }
}

// c [rows, vectors] = a b or, with `add`, c += a b. Each element is one chain over the steps in order, which begins
// with zero or with the value it has.
template <Left kLeft>
void multiply_small(float* c, int64_t c_stride, Matrix a, Matrix b, int64_t rows, int64_t vectors, int64_t steps,
                    bool add) {
  if (vectors <= kTallVectors)
    multiply_tiles<kLeft, kTallRows, kTallVectors>(c, c_stride, a, b, rows, vectors, steps, add);
  else
    multiply_tiles<kLeft, kTileRows, kPanelVectors>(c, c_stride, a, b, rows, vectors, steps, add);
}

}  // namespace embedcore::cpu::EMBEDCORE_ISA
