// y = tail(x W^T) on tensor cores, in 16 bits and in int8: a block makes a tile of y, from tiles of x and W that pass
// through shared memory.
//
// Every shape of tile adds the products of an element of y in the same order with the same instruction: 32 bytes of x
// and W after 32 bytes, in one accumulator, from the row's start to its padded end. So the shape, which depends on the
// number of rows, does not show in the result. For the same reason no sum is split.
#pragma once

#include <iterator>
#include <type_traits>

#include "launch.h"
#include "linear_tail.cuh"
#include "linear_tile.h"
#include "runtime.h"

namespace embedcore::cuda {

// c[16x8] += a[16 x 32 bytes] b[32 bytes x 8], in the layout of mma_16816 (launch.h).
template <typename T>
struct Product16 {
  using Sum = float;
  static constexpr Arch kArch = Arch::kSm80;
  GPU static void add(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) { mma_16816<T>(c, a, b); }
};
struct Product8 {
  using Sum = int32_t;
  static constexpr Arch kArch = Arch::kSm80;
  GPU static void add(int32_t (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) { mma_16832_u8s8(c, a, b); }
};
// The narrower instructions of sm_75 on the same fragments.
struct Product16Sm75 {
  using Sum = float;
  static constexpr Arch kArch = Arch::kSm75;
  GPU static void add(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    mma_1688_f16(c, {a[0], a[1]}, {b[0]});
    mma_1688_f16(c, {a[2], a[3]}, {b[1]});
  }
};
struct Product8Sm75 {
  using Sum = int32_t;
  static constexpr Arch kArch = Arch::kSm75;
  GPU static void add(int32_t (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    int32_t top[2] = {c[0], c[1]}, bottom[2] = {c[2], c[3]};
    mma_8816_u8s8(top, a[0], b[0]);
    mma_8816_u8s8(top, a[2], b[1]);
    mma_8816_u8s8(bottom, a[1], b[0]);
    mma_8816_u8s8(bottom, a[3], b[1]);
    c[0] = top[0], c[1] = top[1], c[2] = bottom[0], c[3] = bottom[1];
  }
};

struct TileArgs {
  const std::byte* x;  // rows begin at multiples of 16 bytes
  int64_t x_stride;    // in bytes
  int64_t x_bytes;     // of a row; what follows up to row_bytes counts as zeros
  const std::byte* weight;
  int64_t row_bytes;                        // of W
  int32_t row_tiles = 0, column_tiles = 0;  // of launch_tile
  Tail tail;
};

template <typename Product, TileSpec kSpec>
struct TileKernel {
  using Args = TileArgs;
  using Sum = typename Product::Sum;
  static constexpr int kThreads = kSpec.threads();
  static constexpr int kMinBlocks = kSpec.min_blocks;
  static constexpr Arch kArch = Product::kArch;

 private:
  static constexpr bool kAsync = kArch != Arch::kSm75;
  static constexpr int kStages = kSpec.stages;
  static_assert(kAsync || kStages == 2);
  static_assert(kSpec.step_bytes == 64 || kSpec.step_bytes == 128);
  static_assert(kSpec.warp_rows % 16 == 0 && kSpec.warp_columns % 16 == 0);
  static constexpr int kChunks = kSpec.step_bytes / 16;      // of a row in a step
  static constexpr int kRowsAtOnce = kThreads / kChunks;     // that the block copies
  static constexpr int kXCopies = kSpec.rows / kRowsAtOnce;  // of a thread in a step
  static constexpr int kWeightCopies = kSpec.columns / kRowsAtOnce;
  static_assert(kSpec.rows % kRowsAtOnce == 0 && kSpec.columns % kRowsAtOnce == 0);
  static constexpr uint32_t kXBytes = kSpec.rows * kSpec.step_bytes;
  static constexpr uint32_t kStageBytes = kXBytes + kSpec.columns * kSpec.step_bytes;
  static constexpr int kColumnWarps = kSpec.columns / kSpec.warp_columns;
  static constexpr int kDepth = kSpec.step_bytes / 32;                                           // products in a step
  static constexpr int kTileRows = kSpec.warp_rows / 16, kTileColumns = kSpec.warp_columns / 8;  // of a warp
  static constexpr int kSlabTiles = kTileRows < 2 ? kTileRows : 2;
  using WarpSlab = Slab<16 * kSlabTiles, kSpec.warp_columns>;
  static constexpr size_t kSlabBytes = kThreads / 32 * WarpSlab::kBytes;

 public:
  static constexpr size_t kSharedBytes = kStages * kStageBytes > kSlabBytes ? static_cast<size_t>(kStages* kStageBytes)
                                                                            : kSlabBytes;

  GPU static void run(const Args& args) {
    TileKernel tile(args);
    if constexpr (kAsync)
      tile.multiply_async();
    else
      tile.multiply_staged();
    tile.finish();
  }

 private:
  // Tiles in groups of 8 rows of tiles: blocks that run at the same time share x and W in the L2 cache.
  GPU explicit TileKernel(const Args& args) : args_(args) {
    constexpr int kGroup = 8;
    const int32_t block = static_cast<int32_t>(block_index()), group_tiles = kGroup * args.column_tiles;
    const int32_t first = block / group_tiles * kGroup, inside = block % group_tiles;
    const int32_t rows = args.row_tiles - first < kGroup ? args.row_tiles - first : kGroup;
    first_row_ = static_cast<int64_t>(first + inside % rows) * kSpec.rows;
    first_column_ = static_cast<int64_t>(inside / rows) * kSpec.columns;
    steps_ = static_cast<int32_t>(args.row_bytes / kSpec.step_bytes);
    chunk_ = thread_index() % kChunks;
    copy_row_ = thread_index() / kChunks;
    const int warp = thread_index() / 32;
    warp_row_ = warp / kColumnWarps * kSpec.warp_rows;
    warp_column_ = warp % kColumnWarps * kSpec.warp_columns;
  }

  // Chunks of 16 bytes are permuted within 128 bytes, so that eight rows of one column of chunks are in different
  // banks.
  GPU static uint32_t chunk_at(int row, int chunk) {
    if constexpr (kChunks == 8) return static_cast<uint32_t>(row * 8 + (chunk ^ (row & 7))) * 16;
    return static_cast<uint32_t>((row >> 1) * 8 + (((row & 1) * 4 + chunk) ^ ((row >> 1) & 7))) * 16;
  }

  // Rows of W beyond `out` are the last one again: what is made of them is not stored.
  GPU const std::byte* weight_chunk(int32_t step, int i) const {
    const int64_t row = first_column_ + copy_row_ + i * kRowsAtOnce, last = args_.tail.out - 1;
    return args_.weight + (row < last ? row : last) * args_.row_bytes + step * kSpec.step_bytes + chunk_ * 16;
  }
  // A chunk of x, of which `bytes` are to be read; the address is valid in any case.
  struct XChunk {
    const std::byte* from;
    int bytes;
  };
  GPU XChunk x_chunk(int32_t step, int i) const {
    const int64_t row = first_row_ + copy_row_ + i * kRowsAtOnce, byte = step * kSpec.step_bytes + chunk_ * 16;
    const int64_t left = args_.x_bytes - byte;
    if (row >= args_.tail.rows || left <= 0) return {args_.x, 0};
    return {args_.x + row * args_.x_stride + byte, left < 16 ? static_cast<int>(left) : 16};
  }

  GPU void copy_weights(int32_t step, uint32_t stage) const {
    UNROLL
    for (int i = 0; i < kWeightCopies; ++i)
      copy_async16(stage + kXBytes + chunk_at(copy_row_ + i * kRowsAtOnce, chunk_), weight_chunk(step, i), 16);
  }
  GPU void copy_x(int32_t step, uint32_t stage) const {
    UNROLL
    for (int i = 0; i < kXCopies; ++i) {
      const XChunk chunk = x_chunk(step, i);
      copy_async16(stage + chunk_at(copy_row_ + i * kRowsAtOnce, chunk_), chunk.from, chunk.bytes);
    }
  }

  struct Fragments {
    uint32_t x[kTileRows][4], weight[kTileColumns][2];
  };

  GPU void load_fragments(uint32_t stage, int depth, Fragments& to) const {
    const int lane = lane_index();
    UNROLL
    for (int i = 0; i < kTileRows; ++i)
      ldmatrix4(to.x[i], stage + chunk_at(warp_row_ + i * 16 + (lane & 15), depth * 2 + (lane >> 4)));
    UNROLL
    for (int j = 0; j < kTileColumns; j += 2) {
      uint32_t both[4];
      ldmatrix4(both, stage + kXBytes +
                          chunk_at(warp_column_ + j * 8 + (lane & 7) + (lane >> 4) * 8, depth * 2 + ((lane >> 3) & 1)));
      to.weight[j][0] = both[0], to.weight[j][1] = both[1];
      to.weight[j + 1][0] = both[2], to.weight[j + 1][1] = both[3];
    }
  }
  GPU void add_products(const Fragments& of) {
    UNROLL
    for (int i = 0; i < kTileRows; ++i) {
      UNROLL
      for (int j = 0; j < kTileColumns; ++j) Product::add(sums_[i][j], of.x[i], of.weight[j]);
    }
  }

  // Steps are copied kStages - 1 ahead; fragments are loaded one product ahead, also across the end of a step. There is
  // one barrier a step: after it, everybody sees the next step, and nobody reads the one before any more, whose place
  // the copies take.
  GPU void multiply_async() {
    UNROLL
    for (int stage = 0; stage < kStages - 1; ++stage)
      if (stage < steps_) copy_weights(stage, stage * kStageBytes);
    wait_for_previous_kernel();
    UNROLL
    for (int stage = 0; stage < kStages - 1; ++stage) {
      if (stage < steps_) copy_x(stage, stage * kStageBytes);
      copy_async_commit();
    }
    allow_next_kernel();
    copy_async_wait<kStages - 2>();
    sync_block();
    Fragments fragments[2];
    load_fragments(0, 0, fragments[0]);
    uint32_t stage = 0, free_stage = (kStages - 1) * kStageBytes;
    ROLLED
    for (int32_t step = 0; step < steps_; ++step) {
      UNROLL
      for (int depth = 0; depth < kDepth; ++depth) {
        if (depth == 0) {
          const int32_t ahead = step + kStages - 1;
          if (ahead < steps_) {
            copy_weights(ahead, free_stage);
            copy_x(ahead, free_stage);
          }
          copy_async_commit();
        }
        if (depth + 1 < kDepth) {
          load_fragments(stage, depth + 1, fragments[(depth + 1) % 2]);
        } else {
          copy_async_wait<kStages - 2>();
          sync_block();
          free_stage = stage;
          stage = stage + kStageBytes < kStages * kStageBytes ? stage + kStageBytes : 0;
          if (step + 1 < steps_) load_fragments(stage, 0, fragments[0]);
        }
        add_products(fragments[depth % 2]);
      }
    }
  }

  // Without asynchronous copies: the next step waits in registers while this one is multiplied.
  GPU void multiply_staged() {
    wait_for_previous_kernel();
    allow_next_kernel();
    Vector16 x[kXCopies], weight[kWeightCopies];
    load_step(0, x, weight);
    for (int32_t step = 0; step < steps_; ++step) {
      const uint32_t stage = step % 2 * kStageBytes;
      store_step(stage, x, weight);
      sync_block();
      if (step + 1 < steps_) load_step(step + 1, x, weight);
      Fragments fragments;
      UNROLL
      for (int depth = 0; depth < kDepth; ++depth) {
        load_fragments(stage, depth, fragments);
        add_products(fragments);
      }
    }
  }
  GPU void load_step(int32_t step, Vector16 (&x)[kXCopies], Vector16 (&weight)[kWeightCopies]) const {
    UNROLL
    for (int i = 0; i < kWeightCopies; ++i) weight[i] = load16(weight_chunk(step, i));
    UNROLL
    for (int i = 0; i < kXCopies; ++i) {
      const XChunk chunk = x_chunk(step, i);
      x[i] = chunk.bytes > 0 ? load16(chunk.from) : Vector16{{0, 0, 0, 0}};
    }
  }
  GPU void store_step(uint32_t stage, const Vector16 (&x)[kXCopies], const Vector16 (&weight)[kWeightCopies]) const {
    UNROLL
    for (int i = 0; i < kXCopies; ++i)
      store16(shared_at<Vector16>(stage + chunk_at(copy_row_ + i * kRowsAtOnce, chunk_)), x[i]);
    UNROLL
    for (int i = 0; i < kWeightCopies; ++i)
      store16(shared_at<Vector16>(stage + kXBytes + chunk_at(copy_row_ + i * kRowsAtOnce, chunk_)), weight[i]);
  }

  GPU void finish() {
    sync_block();  // the slabs take the place of the steps
    const uint32_t slab = static_cast<uint32_t>(thread_index() / 32) * WarpSlab::kBytes;
    const int row = lane_index() / 4, column = lane_index() % 4 * 2;
    UNROLL  // else all sums would stay in registers to the end
        for (int part = 0; part < kTileRows / kSlabTiles; ++part) {
      UNROLL
      for (int i = 0; i < kTileRows; ++i) {
        if (i / kSlabTiles != part) continue;
        UNROLL
        for (int j = 0; j < kTileColumns; ++j) {
          UNROLL
          for (int half = 0; half < 2; ++half)
            store8(shared_at<Vector8>(WarpSlab::at(slab, i % kSlabTiles * 16 + half * 8 + row, j * 8 + column)),
                   Vector8{{__builtin_bit_cast(uint32_t, sums_[i][j][2 * half]),
                            __builtin_bit_cast(uint32_t, sums_[i][j][2 * half + 1])}});
        }
      }
      finish_slab<Sum, 16 * kSlabTiles, kSpec.warp_columns>(
          args_.tail, slab, first_row_ + warp_row_ + part * kSlabTiles * 16, first_column_ + warp_column_);
    }
  }

  const Args& args_;
  int64_t first_row_, first_column_;
  int32_t steps_;
  int chunk_, copy_row_;
  int warp_row_, warp_column_;
  Sum sums_[kTileRows][kTileColumns][4] = {};
};

template <typename Product, TileSpec kSpec>
Error launch_tile(StreamHandle stream, TileArgs args) {
  using Kernel = TileKernel<Product, kSpec>;
  args.row_tiles = static_cast<int32_t>((args.tail.rows + kSpec.rows - 1) / kSpec.rows);
  args.column_tiles = static_cast<int32_t>((args.tail.out + kSpec.columns - 1) / kSpec.columns);
  const auto tiles = static_cast<uint32_t>(args.row_tiles) * static_cast<uint32_t>(args.column_tiles);
  return launch<Kernel>(stream, {.x = tiles}, Kernel::kSharedBytes, args, Order::kMayOverlap);
}

// The tile `index` of kTiles.
template <typename Product, const auto& kTiles, int kFirst = 0>
Error launch_tile(StreamHandle stream, int index, const TileArgs& args) {
  if constexpr (kFirst < static_cast<int>(std::size(kTiles))) {
    if (index == kFirst) return launch_tile<Product, kTiles[kFirst]>(stream, args);
    return launch_tile<Product, kTiles, kFirst + 1>(stream, index, args);
  } else {
    return Error::kInvalidValue;
  }
}

}  // namespace embedcore::cuda
