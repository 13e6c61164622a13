// Products of float32 rows, as losses over a batch need them: scores of rows with keys, and what gradients of scores
// give to rows. Every element is one chain of additions in the order of the sum, so it depends neither on how rows and
// columns are cut into calls nor on the tile.
#pragma once

#include "cpu/packed.h"

namespace embedcore::cpu::EMBEDCORE_ISA {

struct FloatRows {
  const float* data;
  int64_t stride;
  const float* row(int64_t index) const { return data + index * stride; }
};

constexpr int64_t kProductDepth = 512;  // steps of a panel that stay in L2

// Words of the scratch memory that a product of this many steps needs for its panel.
constexpr int64_t panel_words(int64_t steps) { return std::min(steps, kProductDepth) * kPanel; }

// to [rows, columns] (first: =, otherwise +=) x [rows, steps] times a panel [steps, vectors] of `columns` columns.
// Whole vectors are written where `columns` ends with one.
inline void multiply_panel(FloatRows x, int64_t rows, const Word* panel, int64_t steps, int64_t columns, bool first,
                           float* to, int64_t to_stride) {
  const int64_t vectors = divide_up(columns, kWidth), last = columns - (vectors - 1) * kWidth;
  int64_t tiles = divide_up(rows, kTileRows);
  for (int64_t row = 0; row < rows; --tiles) {
    const int64_t height = divide_up(rows - row, tiles);
    with_tile(height, vectors, [&]<int kRows, int kVectors>() {
      float* into = to + row * to_stride;
      Vec sum[kRows][kVectors];
      for (int r = 0; r < kRows; ++r)
        for (int v = 0; v < kVectors; ++v)
          sum[r][v] = first ? Vec{} : load_upto(into + r * to_stride + v * kWidth, v + 1 < kVectors ? kWidth : last);
      multiply<FloatDot>(sum, reinterpret_cast<const Word*>(x.row(row)), x.stride, panel, kVectors * kWidth, steps);
      for (int r = 0; r < kRows; ++r)
        for (int v = 0; v < kVectors; ++v)
          store_upto(into + r * to_stride + v * kWidth, sum[r][v], v + 1 < kVectors ? kWidth : last);
    });
    row += height;
  }
}

// to[r, j] = a_r . k_j for at most kPanel keys. Columns of `to` are written up to a whole vector, those beyond the keys
// with zeros.
inline void multiply_keys(FloatRows a, int64_t rows, FloatRows k, int64_t keys, int64_t width, float* to,
                          int64_t to_stride, Word* panel) {
  const int64_t vectors = divide_up(keys, kWidth);
  int64_t begin = 0;
  do {  // once even if the width is 0, because the products are then 0
    const int64_t words = std::min(kProductDepth, width - begin);
    for (int64_t v = 0; v < vectors; ++v) {
      const int64_t columns = std::min<int64_t>(kWidth, keys - v * kWidth);
      const Word* from[kWidth];
      for (int64_t i = 0; i < columns; ++i) from[i] = reinterpret_cast<const Word*>(k.row(v * kWidth + i) + begin);
      transpose_columns(from, columns, words, panel + v * kWidth, vectors * kWidth);
    }
    multiply_panel({a.data + begin, a.stride}, rows, panel, words, vectors * kWidth, begin == 0, to, to_stride);
    begin += words;
  } while (begin < width);
}

// to [rows, columns] += x [rows, steps] b [steps, columns] for at most kPanel columns; row_of(step) is the address of a
// row of b.
template <typename RowOf>
void add_products(FloatRows x, int64_t rows, RowOf&& row_of, int64_t steps, int64_t columns, float* to,
                  int64_t to_stride, Word* panel) {
  const int64_t vectors = divide_up(columns, kWidth);
  for (int64_t begin = 0; begin < steps; begin += kProductDepth) {
    const int64_t count = std::min(kProductDepth, steps - begin);
    auto* packed = reinterpret_cast<float*>(panel);
    for (int64_t step = 0; step < count; ++step) {
      const float* from = row_of(begin + step);
      for (int64_t v = 0; v < vectors; ++v, packed += kWidth)
        store(packed, load_upto(from + v * kWidth, columns - v * kWidth));
    }
    multiply_panel({x.data + begin, x.stride}, rows, panel, count, columns, false, to, to_stride);
  }
}

}  // namespace embedcore::cpu::EMBEDCORE_ISA
