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
#include "linear_copies.cuh"
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
  int64_t x_stride;    // in bytes, up to kMostRowBytes
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
  static_assert(kRowsAtOnce % (kChunks == 8 ? 8 : 16) == 0);  // rows after which the permutation repeats
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
    if (!kAsync && runs_on(Arch::kSm80)) return;  // no code for what is never launched there
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
    const int warp = thread_index() / 32, lane = lane_index();
    warp_row_ = warp / kColumnWarps * kSpec.warp_rows;
    warp_column_ = warp % kColumnWarps * kSpec.warp_columns;
    const int row = thread_index() / kChunks;
    chunk_byte_ = thread_index() % kChunks * 16;
    copy_to_ = chunk_at(row, thread_index() % kChunks);
    x_.begin(args.x, args.x_stride, args.tail.rows, first_row_, row, chunk_byte_);
    weight_.begin(args.weight, args.row_bytes, args.tail.out, first_column_, row, chunk_byte_);
    x_fragment_ = chunk_at(warp_row_ + (lane & 15), lane >> 4);
    weight_fragment_ = kXBytes + chunk_at(warp_column_ + (lane & 7) + (lane >> 4) * 8, (lane >> 3) & 1);
  }

  // Chunks of 16 bytes are permuted within 128 bytes, so that eight rows of one column of chunks are in different
  // banks. The chunk 2 d further is where bits 5 and 6 differ by d, and 16 rows further are as many bytes as without
  // the permutation: both are used below.
  GPU static uint32_t chunk_at(int row, int chunk) {
    if constexpr (kChunks == 8) return static_cast<uint32_t>(row * 8 + (chunk ^ (row & 7))) * 16;
    return static_cast<uint32_t>((row >> 1) * 8 + (((row & 1) * 4 + chunk) ^ ((row >> 1) & 7))) * 16;
  }

  GPU static int64_t byte_of(int32_t step) { return int64_t{step} * kSpec.step_bytes; }
  // Bytes of this thread's chunks of x that there are in a step.
  GPU int x_bytes(int32_t step) const {
    const int64_t left = args_.x_bytes - byte_of(step) - chunk_byte_;
    return left <= 0 ? 0 : left < 16 ? static_cast<int>(left) : 16;
  }
  GPU bool is_whole(int32_t step) const { return byte_of(step + 1) <= args_.x_bytes; }

  GPU uint32_t copy_to(uint32_t stage, int i) const {
    return stage + copy_to_ + static_cast<uint32_t>(i * kRowsAtOnce * kSpec.step_bytes);
  }
  GPU void copy_weights(int32_t step, uint32_t stage) const {
    UNROLL
    for (int i = 0; i < kWeightCopies; ++i) copy_async16(copy_to(stage + kXBytes, i), weight_.at(byte_of(step), i), 16);
  }
  GPU void copy_x(int32_t step, uint32_t stage) const {
    if (is_whole(step)) {
      UNROLL
      for (int i = 0; i < kXCopies; ++i) copy_async16(copy_to(stage, i), x_.at(byte_of(step), i), 16);
    } else {
      const int bytes = x_bytes(step);
      UNROLL
      for (int i = 0; i < kXCopies; ++i)
        copy_async16(copy_to(stage, i), bytes > 0 ? x_.at(byte_of(step), i) : args_.x, bytes);
    }
  }

  struct Fragments {
    uint32_t x[kTileRows][4], weight[kTileColumns][2];
  };

  GPU void load_fragments(uint32_t stage, int depth, Fragments& to) const {
    const uint32_t x = stage + (x_fragment_ ^ static_cast<uint32_t>(depth * 32));
    UNROLL
    for (int i = 0; i < kTileRows; ++i) ldmatrix4(to.x[i], x + static_cast<uint32_t>(i * 16 * kSpec.step_bytes));
    const uint32_t weight = stage + (weight_fragment_ ^ static_cast<uint32_t>(depth * 32));
    UNROLL
    for (int j = 0; j < kTileColumns; j += 2) {
      uint32_t both[4];
      ldmatrix4(both, weight + static_cast<uint32_t>(j * 8 * kSpec.step_bytes));
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

  // Like a copy that fills up with zeros. Elements have two bytes, because rows of bytes are whole (linear_rows.h).
  GPU static Vector16 load_chunk(const std::byte* from, int bytes) {
    if (bytes == 16) return load16(from);
    Vector16 value{{0, 0, 0, 0}};
    UNROLL
    for (int i = 0; i < 8; ++i)
      if (2 * i < bytes) value.word[i / 2] |= uint32_t{reinterpret_cast<const uint16_t*>(from)[i]} << 16 * (i % 2);
    return value;
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
    for (int i = 0; i < kWeightCopies; ++i) weight[i] = load16(weight_.at(byte_of(step), i));
    if (is_whole(step)) {
      UNROLL
      for (int i = 0; i < kXCopies; ++i) x[i] = load16(x_.at(byte_of(step), i));
    } else {
      UNROLL
      for (int i = 0; i < kXCopies; ++i) x[i] = load_chunk(x_.at(byte_of(step), i), x_bytes(step));
    }
  }
  GPU void store_step(uint32_t stage, const Vector16 (&x)[kXCopies], const Vector16 (&weight)[kWeightCopies]) const {
    UNROLL
    for (int i = 0; i < kXCopies; ++i) store16(shared_at<Vector16>(copy_to(stage, i)), x[i]);
    UNROLL
    for (int i = 0; i < kWeightCopies; ++i) store16(shared_at<Vector16>(copy_to(stage + kXBytes, i)), weight[i]);
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
  int warp_row_, warp_column_;
  int chunk_byte_;    // of this thread's chunks in a step of a row
  uint32_t copy_to_;  // of its first chunk, in a stage
  CopiedRows<kXCopies, kRowsAtOnce> x_;
  CopiedRows<kWeightCopies, kRowsAtOnce> weight_;
  uint32_t x_fragment_, weight_fragment_;  // where this lane's first row of fragments is, in a stage
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
