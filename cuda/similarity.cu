// Similarity of ops/vectors.h. A block computes a tile of pairs from strips of both operands in shared memory, which it
// fetches some strips ahead. A pair's sum is one chain over k = 0, 1, 2, ... in every tile, so tiles are chosen freely
// by the numbers of rows.
#include "backend.h"
#include "device.h"
#include "ops/checks.h"
#include "ops/vectors.h"
#include "reduce.cuh"
#include "rows.cuh"

namespace embedcore::cuda {
namespace {

// Squares (Euclidean) or lengths (cosine) of the rows of a, then of b: a warp a row.
struct SizeKernel {
  static constexpr int kThreads = 128;
  static constexpr int kMinBlocks = 1;
  static constexpr Arch kArch = Arch::kAny;
  static constexpr int kRows = kThreads / kWarp;

  struct Args {
    const float *a, *b;
    float* sizes;
    int64_t rows_a, rows;
    int width;
    bool lengths, aligned;
  };

  GPU static void run(const Args& args) {
    wait_for_previous_kernel();
    allow_next_kernel();
    const int64_t step = static_cast<int64_t>(grid_size()) * kRows;
    for (int64_t row = static_cast<int64_t>(block_index()) * kRows + thread_index() / kWarp; row < args.rows;
         row += step) {
      const float* x = row < args.rows_a ? args.a + row * args.width : args.b + (row - args.rows_a) * args.width;
      const float sum = warp_sum(args.aligned ? lane_squares<true>(x, args.width) : lane_squares<false>(x, args.width));
      const float root = exact_sqrt(sum);
      if (lane_index() == 0) args.sizes[row] = !args.lengths ? sum : root < 1e-12f ? 1e-12f : root;
    }
  }

  template <bool kAligned>
  GPU static float lane_squares(const float* x, int width) {
    constexpr int kAhead = 4;
    float squares = 0.0f;
    for (int column = lane_index() * kColumns; column < width; column += kAhead * kGroup) {
      float value[kAhead][kColumns];
      UNROLL
      for (int ahead = 0; ahead < kAhead; ++ahead)
        load_columns<kAligned>(x, column + ahead * kGroup, width, value[ahead]);
      UNROLL
      for (int ahead = 0; ahead < kAhead; ++ahead) {
        UNROLL
        for (int i = 0; i < kColumns; ++i) squares = multiply_add(value[ahead][i], value[ahead][i], squares);
      }
    }
    return squares;
  }
};

enum class Term { kProduct, kSquaredDifference, kDifference };

// kRowsA x kRowsB pairs, kPairsA x kPairsB of them a thread; strips of kDepth columns, kStages of them in shared
// memory. A thread's rows are kDown and kAcross apart: neighbouring threads read neighbouring rows.
template <bool kAligned, int kRowsA, int kRowsB, int kPairsA, int kPairsB, int kDepth, int kStages>
struct SimilarityKernel {
  static constexpr int kTileA = kRowsA, kTileB = kRowsB;
  static constexpr int kDown = kRowsA / kPairsA, kAcross = kRowsB / kPairsB;
  static constexpr int kThreads = kDown * kAcross;
  static constexpr int kMinBlocks = 384 / kThreads;
  static constexpr Arch kArch = Arch::kAny;
  // A warp covers 4 rows of a by 8 rows of b.
  static constexpr int kWarpDown = 4, kWarpAcross = 8, kWarpsAcross = kAcross / kWarpAcross;
  static_assert(kDown % kWarpDown == 0 && kAcross % kWarpAcross == 0 && kPairsA * kPairsB <= 64);
  static constexpr int kChunks = kDepth / kColumns;  // of 16 bytes in a strip's row
  static constexpr int kRowBytes = kDepth * static_cast<int>(sizeof(float));
  static constexpr int kBytesA = kRowsA * kRowBytes, kStageBytes = (kRowsA + kRowsB) * kRowBytes;
  static constexpr int kVotes = kStages * kStageBytes;  // offset of a word for each warp
  static constexpr int kSharedBytes = kVotes + kThreads / kWarp * static_cast<int>(sizeof(uint32_t));
  static constexpr int64_t kBandTiles = 8;

  struct Args {
    Similarity kind;
    const float *a, *b;
    const float *size_a, *size_b;  // for cosine and Euclidean
    float* y;
    int64_t rows_a, rows_b, y_stride;
    int width;
  };

  GPU static void run(const Args& args) {
    wait_for_previous_kernel();
    allow_next_kernel();
    const SimilarityKernel tile(args);
    float sums[kPairsA][kPairsB];
    if (args.kind == Similarity::kManhattan) {
      tile.template accumulate<Term::kDifference>(sums);
      return tile.each_pair([&](int i, int j, float* y) { *y = -sums[i][j]; });
    }
    tile.template accumulate<Term::kProduct>(sums);
    if (args.kind == Similarity::kDot) return tile.each_pair([&](int i, int j, float* y) { *y = sums[i][j]; });
    const float* size_a = args.size_a + tile.first_a + tile.down;
    const float* size_b = args.size_b + tile.first_b + tile.across;
    if (args.kind == Similarity::kCosine)
      return tile.each_pair([&](int i, int j, float* y) { *y = sums[i][j] / size_a[i * kDown] / size_b[j * kAcross]; });
    // A squared distance that cancels, or of which a square overflowed, is computed again from the differences. So is
    // the whole tile then: one pair would take about as long, because its sum is a chain too.
    uint64_t near = 0;
    tile.each_pair([&](int i, int j, float* y) {
      const float squares = size_a[i * kDown] + size_b[j * kAcross];
      const float squared = squares - (sums[i][j] + sums[i][j]);
      if (squared > squares * static_cast<float>(kNearShare))
        *y = -exact_sqrt(squared);
      else
        near |= uint64_t{1} << (i * kPairsB + j);
    });
    if (!any_of_block(near != 0)) return;
    tile.template accumulate<Term::kSquaredDifference>(sums);
    tile.each_pair([&](int i, int j, float* y) {
      if (near >> (i * kPairsB + j) & 1) *y = -exact_sqrt(sums[i][j]);
    });
  }

  GPU static bool any_of_block(bool value) {
    auto* votes = shared_at<uint32_t>(kVotes);
    const uint32_t lanes = ballot(value);
    if (lane_index() == 0) votes[thread_index() / kWarp] = lanes;
    sync_block();
    uint32_t all = 0;
    UNROLL
    for (int warp = 0; warp < kThreads / kWarp; ++warp) all |= votes[warp];
    return all != 0;
  }

  // Tiles are walked in bands of kBandTiles tiles of a: neighbouring blocks share rows of b.
  GPU explicit SimilarityKernel(const Args& with) : args(with) {
    const int64_t tiles_a = (args.rows_a + kRowsA - 1) / kRowsA, tiles_b = (args.rows_b + kRowsB - 1) / kRowsB;
    const int64_t band = block_index() / (kBandTiles * tiles_b), within = block_index() % (kBandTiles * tiles_b);
    const int64_t left = tiles_a - band * kBandTiles, height = left < kBandTiles ? left : kBandTiles;
    first_a = (band * kBandTiles + within % height) * kRowsA;
    first_b = within / height * kRowsB;
    left_a = static_cast<int>(args.rows_a - first_a < kRowsA ? args.rows_a - first_a : kRowsA);
    left_b = static_cast<int>(args.rows_b - first_b < kRowsB ? args.rows_b - first_b : kRowsB);
    const int warp = thread_index() / kWarp, lane = lane_index();
    down = warp / kWarpsAcross * kWarpDown + lane / kWarpAcross;
    across = warp % kWarpsAcross * kWarpAcross + lane % kWarpAcross;
  }

  // Calls visit(i, j, y) for the pairs of this thread that exist.
  template <typename Visit>
  GPU void each_pair(Visit visit) const {
    float* y = args.y + (first_a + down) * args.y_stride + first_b + across;
    UNROLL
    for (int i = 0; i < kPairsA; ++i) {
      UNROLL
      for (int j = 0; j < kPairsB; ++j)
        if (down + i * kDown < left_a && across + j * kAcross < left_b) visit(i, j, y + j * kAcross);
      y += kDown * args.y_stride;
    }
  }

  // Offset of a chunk of a row in a strip: 8 rows that follow each other have any one chunk in different banks.
  GPU static uint32_t chunk_offset(int row, int chunk) {
    const int turn = kChunks == 8 ? row & 7 : row >> 1 & 3;
    return static_cast<uint32_t>(row * kRowBytes + (chunk ^ turn) * 16);
  }

  // Begins to fetch columns column .. column + kDepth of kRows rows; zeros for columns that they do not have. Rows
  // beyond the last one that exists are copies of it: their sums are not used.
  template <int kRows>
  GPU void fetch(const float* rows, int left, int column, uint32_t to) const {
    constexpr int kStep = kThreads / kChunks;  // rows that the block fetches at a time
    const int chunk = thread_index() % kChunks, at = column + chunk * kColumns;
    UNROLL
    for (int first = 0; first < kRows; first += kStep) {
      const int row = first + thread_index() / kChunks;
      if (kRows % kStep != 0 && row >= kRows) break;
      const float* from = rows + static_cast<int64_t>(row < left ? row : left - 1) * args.width;
      const uint32_t offset = to + chunk_offset(row, chunk);
      if constexpr (kAligned) {
        copy_async16(offset, at < args.width ? from + at : rows, at < args.width ? 16 : 0);
      } else {
        float value[kColumns];
        load_columns<false>(from, at, args.width, value);
        store_aligned(shared_at<float>(offset), value);
      }
    }
  }

  GPU void fetch_strip(int strip) const {
    const uint32_t to = static_cast<uint32_t>(strip % kStages * kStageBytes);
    fetch<kRowsA>(args.a + first_a * args.width, left_a, strip * kDepth, to);
    fetch<kRowsB>(args.b + first_b * args.width, left_b, strip * kDepth, to + kBytesA);
  }

  template <Term kTerm>
  GPU static float add_term(float a, float b, float sum) {
    if constexpr (kTerm == Term::kProduct) return multiply_add(a, b, sum);
    const float difference = a - b;
    if constexpr (kTerm == Term::kSquaredDifference) return multiply_add(difference, difference, sum);
    return sum + float_of(bits_of(difference) & 0x7fffffff);
  }

  template <Term kTerm>
  GPU void accumulate(float (&sums)[kPairsA][kPairsB]) const {
    UNROLL
    for (int i = 0; i < kPairsA; ++i) {
      UNROLL
      for (int j = 0; j < kPairsB; ++j) sums[i][j] = 0.0f;
    }
    const int strips = (args.width + kDepth - 1) / kDepth;
    for (int strip = 0; strip < kStages - 1; ++strip) {
      if (strip < strips) fetch_strip(strip);
      copy_async_commit();
    }
    for (int strip = 0; strip < strips; ++strip) {
      copy_async_wait<kStages - 2>();
      sync_block();  // the strip is there, and nobody reads the one before, whose place is filled now
      if (strip + kStages - 1 < strips) fetch_strip(strip + kStages - 1);
      copy_async_commit();
      multiply_strip<kTerm>(static_cast<uint32_t>(strip % kStages * kStageBytes), sums);
    }
    copy_async_wait<0>();
    sync_block();
  }

  template <Term kTerm>
  GPU void multiply_strip(uint32_t from, float (&sums)[kPairsA][kPairsB]) const {
    ROLLED
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      // The rows of a thread are multiples of 4 or 8 apart: chunk_offset turns b's alike.
      const uint32_t from_b = from + kBytesA + chunk_offset(across, chunk);
      float b[kPairsB][kColumns];
      UNROLL
      for (int j = 0; j < kPairsB; ++j)
        load_aligned(shared_at<float>(from_b + static_cast<uint32_t>(j * kAcross * kRowBytes)), b[j]);
      UNROLL
      for (int i = 0; i < kPairsA; ++i) {
        float a[kColumns];
        load_aligned(shared_at<float>(from + chunk_offset(down + i * kDown, chunk)), a);
        UNROLL
        for (int k = 0; k < kColumns; ++k) {
          UNROLL
          for (int j = 0; j < kPairsB; ++j) sums[i][j] = add_term<kTerm>(a[k], b[j][k], sums[i][j]);
        }
      }
    }
  }

  const Args& args;
  int64_t first_a, first_b;  // of the tile
  int left_a, left_b;        // rows of the tile that exist
  int down, across;          // this thread's first row in the tile
};

using LargeTile = SimilarityKernel<true, 128, 64, 8, 8, 16, 3>;
template <bool kAligned>
using SmallTile = SimilarityKernel<kAligned, 64, 64, 4, 8, 16, 4>;
// For a few rows against many, which is as fast as the many are read.
template <bool kAligned>
using LowTile = SimilarityKernel<kAligned, 8, 128, 2, 4, 16, 4>;
template <bool kAligned>
using NarrowTile = SimilarityKernel<kAligned, 128, 8, 8, 1, 16, 4>;
constexpr int64_t kFewRows = 8;

template <typename Kernel>
Status run(Stream& stream, typename Kernel::Args args) {
  const int64_t tiles = divide_up(args.rows_a, Kernel::kTileA) * divide_up(args.rows_b, Kernel::kTileB);
  if (tiles > 0x7fffffff)
    return refuse(stream, "Expected fewer pairs of rows for similarity: their number is too great");
  return launch_on<Kernel>(stream, "similarity", {.x = static_cast<uint32_t>(tiles)}, Kernel::kSharedBytes, args);
}

}  // namespace

Status similarity(Stream& stream, const SimilarityArgs& args) {
  if (!can_run(stream, args) || !fits(stream, args.width)) return kBadArgument;
  if (args.rows_a == 0 || args.rows_b == 0) return kOk;
  const bool aligned =
      aligned_rows(args.a, args.width, sizeof(float)) && aligned_rows(args.b, args.width, sizeof(float));
  float* sizes = nullptr;
  if (args.kind == Similarity::kCosine || args.kind == Similarity::kEuclidean) {
    const int64_t rows = args.rows_a + args.rows_b;
    sizes = static_cast<float*>(scratch(stream, static_cast<size_t>(rows) * sizeof(float)));
    if (!sizes) return kOutOfMemory;
    const Status status = launch_on<SizeKernel>(stream, "similarity", {.x = blocks_of(rows, SizeKernel::kRows)}, 0,
                                                {.a = args.a,
                                                 .b = args.b,
                                                 .sizes = sizes,
                                                 .rows_a = args.rows_a,
                                                 .rows = rows,
                                                 .width = static_cast<int>(args.width),
                                                 .lengths = args.kind == Similarity::kCosine,
                                                 .aligned = aligned});
    if (status != kOk) return status;
  }
  const auto with = [&]<typename Kernel>() {
    return run<Kernel>(stream, {.kind = args.kind,
                                .a = args.a,
                                .b = args.b,
                                .size_a = sizes,
                                .size_b = sizes ? sizes + args.rows_a : nullptr,
                                .y = args.y,
                                .rows_a = args.rows_a,
                                .rows_b = args.rows_b,
                                .y_stride = args.y_stride == 0 ? args.rows_b : args.y_stride,
                                .width = static_cast<int>(args.width)});
  };
  const auto with_either = [&]<template <bool> typename Tile>() {
    return aligned ? with.template operator()<Tile<true>>() : with.template operator()<Tile<false>>();
  };
  if (args.rows_a <= kFewRows) return with_either.template operator()<LowTile>();
  if (args.rows_b <= kFewRows) return with_either.template operator()<NarrowTile>();
  const int64_t large = divide_up(args.rows_a, LargeTile::kTileA) * divide_up(args.rows_b, LargeTile::kTileB);
  const bool fills = large >= 2 * stream.device->properties.multiprocessors;
  if (!aligned || !fills || args.rows_a <= 64 || args.rows_b <= 64) return with_either.template operator()<SmallTile>();
  return with.template operator()<LargeTile>();
}

}  // namespace embedcore::cuda
