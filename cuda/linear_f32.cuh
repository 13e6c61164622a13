// y = tail(x W^T) in float32: each sum is one chain of fused additions over in = 0, 1, 2, ... in one thread, whatever
// the shape of the tile.
#pragma once

#include <iterator>

#include "launch.h"
#include "linear_copies.cuh"
#include "linear_tail.cuh"
#include "linear_tile.h"
#include "runtime.h"

namespace embedcore::cuda {

struct FloatArgs {
  const float* x;    // rows begin at multiples of 16 bytes
  int64_t x_stride;  // in elements; up to kMostRowBytes
  int32_t in;        // of x: what follows up to row_elements counts as zeros
  const float* weight;
  int64_t row_elements;   // of W
  int32_t row_tiles = 0;  // of launch_float_tile
  Tail tail;
};

// A warp makes 4 kThreadRows x 8 kThreadColumns of y, a thread of it kThreadRows x kThreadColumns (4 or 8): groups of
// four neighbours, which are 16 rows or 32 columns apart.
template <FloatTileSpec kSpec>
struct FloatKernel {
  using Args = FloatArgs;
  static constexpr int kThreads = kSpec.threads();
  static constexpr int kMinBlocks = kSpec.min_blocks;
  static constexpr Arch kArch = Arch::kAny;

 private:
  static constexpr int kThreadRows = kSpec.thread_rows, kThreadColumns = kSpec.thread_columns;
  static constexpr int kWarpRows = 4 * kThreadRows, kWarpColumns = 8 * kThreadColumns;
  static constexpr int kColumnWarps = kSpec.columns / kWarpColumns;
  static constexpr int kRows = kSpec.rows, kColumns = kSpec.columns;
  static_assert(kThreadRows % 4 == 0 && kThreadColumns % 4 == 0 && kThreads % 32 == 0);
  // Inputs at a time. A thread loads 4 of them, and the block as many rows as there are.
  static constexpr int kStep = kThreads / 2 <= kRows && kThreads / 2 <= kColumns ? 8 : 16;
  static constexpr int kRowsAtOnce = kThreads / (kStep / 4);
  static constexpr int kXLoads = kRows / kRowsAtOnce, kWeightLoads = kColumns / kRowsAtOnce;
  static_assert(kRows % kRowsAtOnce == 0 && kColumns % kRowsAtOnce == 0);
  // Shared memory holds the inputs of a step in turn, each for all rows.
  static constexpr int kXStride = kRows + 4, kWeightStride = kColumns + 4;
  static constexpr uint32_t kXBytes = kStep * kXStride * 4, kStageBytes = kXBytes + kStep * kWeightStride * 4;
  using WarpSlab = Slab<16, kWarpColumns>;
  static constexpr uint32_t kSlabBytes = kThreads / 32 * WarpSlab::kBytes;

 public:
  static constexpr size_t kSharedBytes = 2 * kStageBytes > kSlabBytes ? 2 * kStageBytes : kSlabBytes;

  GPU static void run(const Args& args) {
    FloatKernel tile(args);
    tile.multiply();
    tile.finish();
  }

 private:
  GPU explicit FloatKernel(const Args& args) : args_(args) {
    first_row_ = static_cast<int64_t>(block_index() % args.row_tiles) * kRows;
    first_column_ = static_cast<int64_t>(block_index() / args.row_tiles) * kColumns;
    const int warp = thread_index() / 32;
    warp_row_ = warp / kColumnWarps * kWarpRows;
    warp_column_ = warp % kColumnWarps * kWarpColumns;
    load_row_ = thread_index() / (kStep / 4);
    load_input_ = thread_index() % (kStep / 4) * 4;
    constexpr int64_t kElement = sizeof(float);
    const int byte = load_input_ * int{kElement};
    x_.begin(args.x, args.x_stride * kElement, args.tail.rows, first_row_, load_row_, byte);
    weight_.begin(args.weight, args.row_elements * kElement, args.tail.out, first_column_, load_row_, byte);
  }

  GPU void load_weights(int32_t k, Vector16 (&to)[kWeightLoads]) const {
    UNROLL
    for (int i = 0; i < kWeightLoads; ++i) to[i] = load16(weight_.at(int64_t{k} * 4, i));
  }
  GPU void load_x(int32_t k, Vector16 (&to)[kXLoads]) const {
    if (k + kStep <= args_.in) {
      UNROLL
      for (int i = 0; i < kXLoads; ++i) to[i] = load16(x_.at(int64_t{k} * 4, i));
    } else {
      const int left = args_.in - k - load_input_;
      UNROLL
      for (int i = 0; i < kXLoads; ++i) {
        UNROLL
        for (int j = 0; j < 4; ++j)
          to[i].word[j] = j < left ? reinterpret_cast<const uint32_t*>(x_.at(int64_t{k} * 4, i))[j] : 0u;
      }
    }
  }
  template <int kLoads>
  GPU void store(uint32_t to, int stride, const Vector16 (&words)[kLoads]) const {
    UNROLL
    for (int i = 0; i < kLoads; ++i) {
      UNROLL
      for (int j = 0; j < 4; ++j)
        *shared_at<uint32_t>(to + static_cast<uint32_t>((load_input_ + j) * stride + load_row_ + i * kRowsAtOnce) * 4) =
            words[i].word[j];
    }
  }

  template <int kCount>
  GPU static void load_factors(uint32_t from, int apart, float (&to)[kCount]) {
    UNROLL
    for (int i = 0; i < kCount; i += 4) {
      const Vector16 words = load16(shared_at<float>(from + static_cast<uint32_t>(i / 4 * apart) * 4));
      UNROLL
      for (int j = 0; j < 4; ++j) to[i + j] = __builtin_bit_cast(float, words.word[j]);
    }
  }
  GPU void add_products(uint32_t stage) {
    const uint32_t x = stage + static_cast<uint32_t>(warp_row_ + lane_index() / 8 * 4) * 4;
    const uint32_t weight = stage + kXBytes + static_cast<uint32_t>(warp_column_ + lane_index() % 8 * 4) * 4;
    UNROLL
    for (int k = 0; k < kStep; ++k) {
      float rows[kThreadRows], columns[kThreadColumns];
      load_factors(x + static_cast<uint32_t>(k * kXStride) * 4, 16, rows);
      load_factors(weight + static_cast<uint32_t>(k * kWeightStride) * 4, 32, columns);
      UNROLL
      for (int i = 0; i < kThreadRows; ++i) {
        UNROLL
        for (int j = 0; j < kThreadColumns; ++j) sums_[i][j] = multiply_add(rows[i], columns[j], sums_[i][j]);
      }
    }
  }

  // The next step waits in registers while this one is multiplied.
  GPU void multiply() {
    Vector16 x[kXLoads], weight[kWeightLoads];
    load_weights(0, weight);
    wait_for_previous_kernel();
    allow_next_kernel();
    load_x(0, x);
    uint32_t stage = 0;
    ROLLED
    for (int32_t k = 0; k < args_.row_elements; k += kStep) {
      store(stage, kXStride, x);
      store(stage + kXBytes, kWeightStride, weight);
      sync_block();
      if (k + kStep < args_.row_elements) {
        load_weights(k + kStep, weight);
        load_x(k + kStep, x);
      }
      add_products(stage);
      stage = kStageBytes - stage;
    }
  }

  GPU void finish() {
    sync_block();  // the slabs take the place of the steps
    const uint32_t slab = static_cast<uint32_t>(thread_index() / 32) * WarpSlab::kBytes;
    UNROLL
    for (int part = 0; part < kThreadRows / 4; ++part) {
      UNROLL
      for (int i = 0; i < 4; ++i) {
        UNROLL
        for (int j = 0; j < kThreadColumns; j += 4) {
          Vector16 words;
          UNROLL
          for (int column = 0; column < 4; ++column)
            words.word[column] = __builtin_bit_cast(uint32_t, sums_[part * 4 + i][j + column]);
          store16(shared_at<float>(WarpSlab::at(slab, lane_index() / 8 * 4 + i, lane_index() % 8 * 4 + j * 8)), words);
        }
      }
      finish_slab<float, 16, kWarpColumns>(args_.tail, slab, first_row_ + warp_row_ + part * 16,
                                           first_column_ + warp_column_);
    }
  }

  const Args& args_;
  int64_t first_row_, first_column_;
  int warp_row_, warp_column_, load_row_, load_input_;
  CopiedRows<kXLoads, kRowsAtOnce> x_;
  CopiedRows<kWeightLoads, kRowsAtOnce> weight_;
  float sums_[kThreadRows][kThreadColumns] = {};
};

template <FloatTileSpec kSpec>
Error launch_float_tile(StreamHandle stream, FloatArgs args) {
  using Kernel = FloatKernel<kSpec>;
  args.row_tiles = static_cast<int32_t>((args.tail.rows + kSpec.rows - 1) / kSpec.rows);
  const auto columns = static_cast<uint32_t>((args.tail.out + kSpec.columns - 1) / kSpec.columns);
  return launch<Kernel>(stream, {.x = static_cast<uint32_t>(args.row_tiles) * columns}, Kernel::kSharedBytes, args,
                        Order::kMayOverlap);
}

// The tile `index` of kFloatTiles.
template <int kFirst = 0>
Error launch_float_tile(StreamHandle stream, int index, const FloatArgs& args) {
  if constexpr (kFirst < static_cast<int>(std::size(kFloatTiles))) {
    if (index == kFirst) return launch_float_tile<kFloatTiles[kFirst]>(stream, args);
    return launch_float_tile<kFirst + 1>(stream, index, args);
  } else {
    return Error::kInvalidValue;
  }
}

}  // namespace embedcore::cuda
