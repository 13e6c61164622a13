// Which rows of x or W a thread brings into shared memory for a tile.
#pragma once

#include <cstddef>

#include "launch.h"

namespace embedcore::cuda {

// kCount rows that are kApart apart. Rows behind the last of the matrix are the last one again: what is made of them is
// not stored.
template <int kCount, int kApart>
struct CopiedRows {
  const std::byte* first;
  uint32_t offset[kCount];  // in 32 bits because of kMostRowBytes

  // The matrix has `count` rows, `stride` bytes apart; `row` is the thread's first one of the tile that begins at
  // first_row, and `byte` where it begins to read in a row.
  GPU void begin(const void* rows, int64_t stride, int64_t count, int64_t first_row, int row, int byte) {
    first = static_cast<const std::byte*>(rows) + first_row * stride + byte;
    const int64_t last = count - 1 - first_row;
    UNROLL
    for (int i = 0; i < kCount; ++i) {
      const int64_t inside = row + i * kApart;
      offset[i] = static_cast<uint32_t>((inside < last ? inside : last) * stride);
    }
  }
  GPU const std::byte* at(int64_t byte, int i) const { return first + byte + offset[i]; }
};

}  // namespace embedcore::cuda
