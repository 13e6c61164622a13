// The tiles of linear's kernels, and which of them a call takes.
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "runtime.h"

namespace embedcore::cuda {

// A tile of y that a block makes on tensor cores: rows x columns of it, warp_rows x warp_columns a warp, step_bytes of
// the rows of x and W at a time, `stages` steps in shared memory.
struct TileSpec {
  int rows, columns, step_bytes, warp_rows, warp_columns, stages;
  int min_blocks;  // of a multiprocessor
  int cost;        // of an element of y, relative to the others

  constexpr int threads() const { return rows / warp_rows * (columns / warp_columns) * 32; }
};

// In float32: thread_rows x thread_columns a thread.
struct FloatTileSpec {
  int rows, columns, thread_rows, thread_columns;
  int min_blocks, cost;

  constexpr int threads() const { return rows / thread_rows * (columns / thread_columns); }
};

// The last three keep 20 to 28 KB of weights on the way in each block: with few rows, reading W is all that takes time.
constexpr TileSpec kTilesSm80[] = {
    {128, 256, 64, 64, 64, 3, 1, 100}, {128, 128, 64, 64, 64, 3, 2, 106}, {64, 128, 128, 32, 64, 3, 1, 125},
    {64, 64, 128, 32, 32, 4, 1, 150},  {64, 32, 128, 32, 16, 6, 1, 220},  {32, 32, 128, 32, 16, 7, 1, 260},
    {16, 32, 128, 16, 16, 8, 1, 300},
};
constexpr TileSpec kTilesSm75[] = {
    {128, 128, 64, 64, 32, 2, 1, 100},
    {64, 64, 128, 32, 32, 2, 1, 130},
    {16, 64, 128, 16, 16, 2, 1, 220},
};
constexpr FloatTileSpec kFloatTiles[] = {{128, 128, 8, 8, 2, 100}, {64, 64, 8, 4, 1, 130}, {16, 64, 4, 4, 1, 220}};

// How the two multiplying warpgroups of linear_sm90.cuh share the work.
enum class Sharing {
  kCooperative,  // each takes one half of the rows of a tile
  kPingPong,     // each takes every second tile: while one stores its results, the other multiplies
};

// On sm_90a: a block makes tile after tile; `stages` steps of 64 elements are in shared memory.
struct HopperTileSpec {
  int rows, columns, stages;
  Sharing sharing;
  int cost;
};
// With few rows the narrow tiles keep 30 to 60 KB of weights on the way in each block, and a width is chosen that gives
// every multiprocessor its share of W.
constexpr HopperTileSpec kTilesSm90[] = {
    {128, 256, 4, Sharing::kCooperative, 100}, {128, 128, 6, Sharing::kPingPong, 104},
    {64, 256, 4, Sharing::kPingPong, 108},     {64, 128, 8, Sharing::kPingPong, 125},
    {64, 64, 12, Sharing::kPingPong, 160},     {64, 48, 13, Sharing::kPingPong, 165},
    {64, 32, 16, Sharing::kPingPong, 170},     {64, 16, 18, Sharing::kPingPong, 190},
};

enum class TileFamily { kFloat, kSm75, kSm80, kSm90 };

struct TileChoice {
  TileFamily family;
  int index;  // into the family's list
};

// Depends on rows and out, so all tiles of a family must give the same bits.
// `architecture`: of the code that the card runs, which may be older than the card (Device::architecture).
TileChoice choose_tile(const Properties& card, int architecture, DType dtype, int64_t rows, int64_t out);

}  // namespace embedcore::cuda
