// Tiles of keys or values in shared memory and their fragments, for attention on tensor cores.
#pragma once

#include <type_traits>

#include "launch.h"

namespace embedcore::cuda {

// Element i of lane t goes to element t of lane i, in each four lanes.
GPU void transpose_quad(uint32_t (&word)[4]) {
  UNROLL
  for (int step = 1; step <= 2; step *= 2) {
    const bool upper = lane_index() & step;
    UNROLL
    for (int i = 0; i < 4; ++i) {
      if (i & step) continue;
      const uint32_t got = shuffle_xor(upper ? word[i] : word[i + step], step);
      word[i] = upper ? got : word[i];
      word[i + step] = upper ? word[i + step] : got;
    }
  }
}

template <typename T>
GPU void mma_k16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  if (runs_on(Arch::kSm80)) {
    mma_16816<T>(c, a, {b0, b1});
  } else if constexpr (std::is_same_v<T, f16>) {
    mma_1688_f16(c, {a[0], a[1]}, {b0});
    mma_1688_f16(c, {a[2], a[3]}, {b1});
  }
}

// A tile whose rows have kDim elements of 16 bits.
template <int kDim>
struct AttentionTile {
  static constexpr int kChunks = kDim / 8;  // 16-byte chunks of a row

  // Offset of a chunk in a tile. Eight rows of one chunk lie in different banks: within each group of kTurns pairs of
  // chunks, a row's are exchanged in an order of its own.
  static constexpr int kTurns = kChunks % 8 == 0 ? 4 : 2;
  GPU static uint32_t chunk_at(int row, int chunk) {
    const int turn = kTurns == 4 ? row & 7 : (row >> 1) & 3;
    return static_cast<uint32_t>(row * kChunks + (chunk ^ turn)) * 16;
  }
  // Chunks `side`, side + 2, ... of a row and of those that are n * 16 rows further on.
  struct Chunks {
    uint32_t first[kTurns];
    GPU Chunks(int row, int side) {
      UNROLL
      for (int i = 0; i < kTurns; ++i) first[i] = chunk_at(row, 2 * i + side);
    }
    GPU uint32_t at(int n, int step) const {
      return first[step % kTurns] + static_cast<uint32_t>(n * 16 * kChunks + step / kTurns * 2 * kTurns) * 16;
    }
  };
};

}  // namespace embedcore::cuda
