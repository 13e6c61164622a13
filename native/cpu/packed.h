// Packed weights of a linear layer: W^T cut into panels of kPanel columns, [words][kPanel] each, so that the inner loop
// of a tile reads one stream. The last panel has only as many vectors as it needs. For the backward pass W is packed in
// the same way beside it.
#pragma once

#include <algorithm>

#include "base/weight_memory.h"
#include "cpu/tile.h"

namespace embedcore::cpu::EMBEDCORE_ISA {

// A matrix in panels: what a row of operands is multiplied with.
struct Panels {
  const Word* first;  // of the first panel; 64-byte aligned
  int64_t words;      // of a column
  int64_t columns;
};

struct Packed : PackedLinear {
  WeightMemory memory;
  int64_t words;           // of a column
  Word* panels;            // 64-byte aligned
  float* bias;             // [out rounded up to kWidth], zeros without a bias
  float* scale;            // int8: [out rounded up], otherwise null
  int32_t* column_sums;    // int8: sums of the columns' bytes
  float* reciprocals;      // int8: [in], 1 / smoothing
  Word* backward_panels;   // W: columns are inputs, words are along the outputs; null if packed for the forward pass
  int64_t backward_words;  // of a column
};

struct Panel {
  const Word* weights;
  int64_t column, vectors;
};

// to[k * stride + i] = from[i][k] for the words k = 0 .. words-1; lanes i >= columns are zero.
inline void transpose_columns(const Word* const (&from)[kWidth], int64_t columns, int64_t words, Word* to,
                              int64_t stride) {
  int64_t k = 0;
  for (; k + kWidth <= words; k += kWidth) {
    IntVec square[kWidth] = {};
    for (int64_t i = 0; i < columns; ++i) square[i] = load_words(from[i] + k);
    transpose_words(square);
    for (int64_t i = 0; i < kWidth; ++i) store_words(to + (k + i) * stride, square[i]);
  }
  for (; k < words; ++k)
    for (int64_t i = 0; i < kWidth; ++i) to[k * stride + i] = i < columns ? from[i][k] : 0;
}

inline Panel panel_at(const Panels& panels, int64_t index) {
  const int64_t column = index * kPanel;
  const int64_t columns = std::min<int64_t>(kPanel, panels.columns - column);
  return {panels.first + column * panels.words, column, divide_up(columns, kWidth)};
}

inline Panels forward_panels(const Packed& packed) { return {packed.panels, packed.words, packed.out}; }
inline Panels backward_panels(const Packed& packed) {
  return {packed.backward_panels, packed.backward_words, packed.in};
}

}  // namespace embedcore::cpu::EMBEDCORE_ISA
