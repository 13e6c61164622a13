// The matrix product of sm_90a: TMA brings tiles of rows and weights, wgmma multiplies them. One warpgroup loads, two
// multiply. Each multiprocessor runs one block, which takes tile after tile.
//
// Every element is one chain of wgmma instructions over k = 0, 16, 32, ..., whatever the tile.
#pragma once

#include "launch.h"
#include "linear_mma.cuh"
#include "linear_tile.h"
#include "runtime.h"

namespace embedcore::cuda {

constexpr int kHopperDepth = 64;  // elements of a k-tile: 128 bytes, the width of the swizzle

// The tiles of a product in the order in which blocks take them: columns of kTileGroup tiles, so that the blocks that
// run at the same time share rows and weights in the L2 cache.
struct TileOrder {
  static constexpr int kGroup = 8;
  int tiles_m, tiles_n, count;

  GPU void place(int tile, int& m, int& n) const {
    const int per_group = kGroup * tiles_n;
    const int group = tile / per_group, first = group * kGroup;
    const int height = tiles_m - first < kGroup ? tiles_m - first : kGroup;
    const int inside = tile - group * per_group;
    m = first + inside % height;
    n = inside / height;
  }
};

template <typename T, HopperTileSpec kSpec>
struct HopperKernel {
  static constexpr int kThreads = 384;
  static constexpr int kMinBlocks = 1;
  static constexpr Arch kArch = Arch::kSm90a;

  static constexpr bool kPingPong = kSpec.sharing == Sharing::kPingPong;
  static constexpr int kM = kSpec.rows, kN = kSpec.columns, kStages = kSpec.stages;
  static constexpr int kWide = kM / (kPingPong ? 64 : 128);  // 64-row products of a consumer
  static constexpr int kRowsBytes = kM * 128, kWeightsBytes = kN * 128, kStageBytes = kRowsBytes + kWeightsBytes;
  static constexpr uint32_t kFull = kStages * kStageBytes, kEmpty = kFull + 8 * kStages;
  // Sums pass through a slab of each warp on their way to y.
  static constexpr int kSlabColumns = kN % 32 == 0 ? 32 : 16;
  using WarpSlab = Slab<16, kSlabColumns>;
  static constexpr uint32_t kTurns = kEmpty + 8 * kStages;  // of each consumer, where they take turns
  static constexpr uint32_t kSlabs = (kTurns + 16 + 127) / 128 * 128;
  static constexpr size_t kSharedBytes = kSlabs + 8 * WarpSlab::kBytes;
  static_assert(kSharedBytes <= 227 * 1024);

  struct Args {
    TensorMap x;  // [rows, in], boxes of kM rows
    TensorMap w;  // [out, in], boxes of kN rows
    TileOrder tiles;
    int k_tiles;
    Tail tail;
  };

  // A ring of stages, and the parity of the round.
  struct Ring {
    int stage = 0, parity = 0;
    GPU void next() {
      if (++stage == kStages) stage = 0, parity ^= 1;
    }
    GPU void skip(int count) {
      const int to = stage + count;
      stage = to % kStages;
      parity ^= to / kStages & 1;
    }
  };

  GPU static void run(const Args& args) {
    const int group = shuffle(thread_index() / 128, 0);
    if (thread_index() == 0) {
      for (int i = 0; i < kStages; ++i) {
        barrier_init(kFull + 8 * i, 1);
        barrier_init(kEmpty + 8 * i, kPingPong ? 4 : 8);  // warps that read a stage
      }
      if (kPingPong) {
        barrier_init(kTurns, 4);
        barrier_init(kTurns + 8, 4);
      }
      barrier_init_done();
    }
    sync_block();
    if (group == 0) {
      release_registers<40>();
      if (thread_index() == 0) produce(args);
    } else {
      claim_registers<232>();
      consume(args, group - 1);
    }
  }

  // The weights of the first stages do not wait for the kernel before this one.
  GPU static void produce(const Args& args) {
    Ring ring, ahead;
    int early = 0;
    const int begin = static_cast<int>(block_index()), step = static_cast<int>(grid_size());
    if (begin < args.tiles.count) {
      int m, n;
      args.tiles.place(begin, m, n);
      for (; early < kStages && early < args.k_tiles; ++early, ahead.next()) {
        barrier_arrive_expect(kFull + 8 * ahead.stage, kStageBytes);
        load_weights(args, ahead.stage, early, n);
      }
    }
    wait_for_previous_kernel();
    for (int tile = begin; tile < args.tiles.count; tile += step) {
      int m, n;
      args.tiles.place(tile, m, n);
      for (int k = 0; k < args.k_tiles; ++k, ring.next()) {
        if (tile != begin || k >= early) {
          // In the first round the parity is that of the phase before the first, which counts as ended.
          barrier_wait(kEmpty + 8 * ring.stage, ring.parity ^ 1);
          barrier_arrive_expect(kFull + 8 * ring.stage, kStageBytes);
          load_weights(args, ring.stage, k, n);
        }
        tma_load_2d(ring.stage * kStageBytes, &args.x, kFull + 8 * ring.stage, k * kHopperDepth, m * kM);
      }
    }
  }
  GPU static void load_weights(const Args& args, int stage, int k, int n) {
    tma_load_2d(stage * kStageBytes + kRowsBytes, &args.w, kFull + 8 * stage, k * kHopperDepth, n * kN);
  }

  GPU static void consume(const Args& args, int consumer) {
    // The tails read and write rows of other kernels.
    wait_for_previous_kernel();
    allow_next_kernel();
    Ring ring;
    int turn = consumer ^ 1;  // parity: the first turn is the first consumer's
    if (kPingPong && consumer == 1) ring.skip(args.k_tiles);
    const int step = static_cast<int>(grid_size());
    int tile = static_cast<int>(block_index()) + (kPingPong ? consumer * step : 0);
    for (; tile < args.tiles.count; tile += kPingPong ? 2 * step : step) {
      int m, n;
      args.tiles.place(tile, m, n);
      float sums[kWide][kN / 2];
      if (kPingPong) barrier_wait(kTurns + 8 * consumer, turn);
      turn ^= 1;
      multiply(sums, ring, args.k_tiles, consumer);
      if (kPingPong) ring.skip(args.k_tiles);
      const int row = m * kM + (kPingPong ? 0 : consumer * kWide * 64) + (thread_index() / 32 & 3) * 16;
      UNROLL
      for (int i = 0; i < kWide; ++i) finish(args.tail, sums[i], row + 64 * i, n * kN);
    }
  }

  // Stores 16 rows of a warp, from this row on.
  GPU static void finish(const Tail& tail, const float (&sums)[kN / 2], int row, int column) {
    const uint32_t slab = kSlabs + static_cast<uint32_t>(thread_index() / 32 - 4) * WarpSlab::kBytes;
    const int lane_row = lane_index() / 4, lane_column = lane_index() % 4 * 2;
    UNROLL
    for (int part = 0; part < kN; part += kSlabColumns) {
      UNROLL
      for (int j = 0; j < kSlabColumns; j += 8) {
        UNROLL
        for (int half = 0; half < 2; ++half) {
          const int at = (part + j) / 2 + 2 * half;
          store8(shared_at<Vector8>(WarpSlab::at(slab, half * 8 + lane_row, j + lane_column)),
                 Vector8{{__builtin_bit_cast(uint32_t, sums[at]), __builtin_bit_cast(uint32_t, sums[at + 1])}});
        }
      }
      finish_slab<float, 16, kSlabColumns>(tail, slab, row, column + part);
    }
  }

  // sums = the product of one tile. Consumers that take turns wait for stages one after the other, not side by side:
  // a parity tells a round from the one before it, but not from the one before that.
  GPU static void multiply(float (&sums)[kWide][kN / 2], Ring& ring, int k_tiles, int consumer) {
    const uint32_t rows_offset = kPingPong ? 0 : consumer * kWide * 64 * 128;
    uint32_t last = 0;
    for (int k = 0; k < k_tiles; ++k) {
      barrier_wait(kFull + 8 * ring.stage, ring.parity);
      const uint32_t rows = ring.stage * kStageBytes + rows_offset, weights = ring.stage * kStageBytes + kRowsBytes;
      wgmma_fence();
      UNROLL
      for (int kk = 0; kk < kHopperDepth / 16; ++kk) {
        UNROLL
        for (int i = 0; i < kWide; ++i)
          wgmma<T, kN>(sums[i], wgmma_descriptor(rows + i * 64 * 128 + kk * 32), wgmma_descriptor(weights + kk * 32),
                       k > 0 || kk > 0);
      }
      wgmma_commit();
      // The stage before this one is not read any more.
      wgmma_wait<1>();
      if (k > 0 && lane_index() == 0) barrier_arrive(last);
      last = kEmpty + 8 * ring.stage;
      ring.next();
    }
    if (kPingPong && lane_index() == 0) barrier_arrive(kTurns + 8 * (consumer ^ 1));
    wgmma_wait<0>();
    if (lane_index() == 0) barrier_arrive(last);
  }
};

template <typename T, HopperTileSpec kSpec>
Error launch_hopper(StreamHandle stream, const TileArgs& from, int multiprocessors) {
  using Kernel = HopperKernel<T, kSpec>;
  constexpr auto kElement = static_cast<int64_t>(sizeof(T));
  const auto divide_up = [](int64_t count, int of) { return static_cast<int>((count + of - 1) / of); };
  const int tiles_m = divide_up(from.tail.rows, kSpec.rows), tiles_n = divide_up(from.tail.out, kSpec.columns);
  typename Kernel::Args args{.x = {},
                             .w = {},
                             .tiles = {tiles_m, tiles_n, tiles_m * tiles_n},
                             .k_tiles = static_cast<int>(from.row_bytes / kElement / kHopperDepth),
                             .tail = from.tail};
  // What follows a row of x up to the padded end, rows beyond the last and columns beyond `out` are read as zeros.
  Error error = make_tensor_map(&args.x, from.x, from.x_bytes / kElement, from.tail.rows, from.x_stride, kSpec.rows);
  if (error != Error::kOk) return error;
  error =
      make_tensor_map(&args.w, from.weight, from.row_bytes / kElement, from.tail.out, from.row_bytes, kSpec.columns);
  if (error != Error::kOk) return error;
  const int blocks = args.tiles.count < multiprocessors ? args.tiles.count : multiprocessors;
  return launch<Kernel>(stream, {.x = static_cast<uint32_t>(blocks)}, Kernel::kSharedBytes, args, Order::kMayOverlap);
}

// The tile `index` of kTilesSm90.
template <typename T, int kFirst = 0>
Error launch_hopper(StreamHandle stream, int index, const TileArgs& args, int multiprocessors) {
  if constexpr (kFirst < static_cast<int>(std::size(kTilesSm90))) {
    if (index == kFirst) return launch_hopper<T, kTilesSm90[kFirst]>(stream, args, multiprocessors);
    return launch_hopper<T, kFirst + 1>(stream, index, args, multiprocessors);
  } else {
    return Error::kInvalidValue;
  }
}

}  // namespace embedcore::cuda
