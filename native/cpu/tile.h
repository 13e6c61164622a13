// The register tile of linear, attention and similarity: kRows rows of a times a panel of kVectors vectors of b.
#pragma once

#include "cpu/dot.h"

namespace embedcore::cpu::EMBEDCORE_ISA {

// sum[r][:] += a[r, k] * b[k, :] for the words k = 0 .. words-1, one addition after the other, so the order does not
// depend on kRows. a [kRows, words] with a row stride, and kStep from one word of a row to the next; b [words,
// kVectors * kWidth] with a row stride; strides in words. ahead.step(k) is called once per word and may prefetch.
struct NothingAhead {
  void step(int64_t) const {}
};

template <typename Dot, int kRows, int kVectors, int kStep = 1, typename Ahead = NothingAhead>
[[gnu::always_inline]] inline void multiply(typename Dot::Sum (&sum)[kRows][kVectors], const Word* a, int64_t a_stride,
                                            const Word* b, int64_t b_stride, int64_t words, const Ahead& ahead = {}) {
  for (int64_t k = 0; k < words; ++k) {
    ahead.step(k);
    IntVec column[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) column[v] = load_words(b + v * kWidth);
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) {
      const IntVec value = broadcast(a[r * a_stride + k * kStep]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[r][v] = Dot::add(sum[r][v], value, column[v]);
    }
    b += b_stride;
  }
}

// Calls visit<rows, vectors>() for a tile at the edge of a matrix; 1 <= rows <= kRows, 1 <= vectors <= kVectors.
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

// A tall tile for narrow matrices: fewer vectors across, with the same number of sums.
constexpr int kTallRows = 2 * kTileRows, kTallVectors = kPanelVectors / 2;

// A growing block of memory of the calling thread, 64-byte aligned; null if memory ran out. An operation may use it
// until it returns. kShared and kLora hold operands that all threads of an operation read, kTask the data of one task.
enum class Scratch { kShared, kLora, kTask };
void* thread_scratch(Scratch which, size_t bytes);

}  // namespace embedcore::cpu::EMBEDCORE_ISA
