#include "linear_tile.h"

#include <span>

namespace embedcore::cuda {
namespace {

int64_t divide_up(int64_t value, int64_t by) { return (value + by - 1) / by; }

// The tile that is done first if every multiprocessor takes its share of the tiles.
template <typename Spec>
int fastest(std::span<const Spec> tiles, const Properties& card, int64_t rows, int64_t out) {
  int best = 0;
  int64_t least = INT64_MAX;
  for (size_t i = 0; i < tiles.size(); ++i) {
    const Spec& tile = tiles[i];
    const int64_t count = divide_up(rows, tile.rows) * divide_up(out, tile.columns);
    const int64_t time = divide_up(count, card.multiprocessors) * tile.rows * tile.columns * int64_t{tile.cost};
    if (time < least) {
      least = time;
      best = static_cast<int>(i);
    }
  }
  return best;
}

}  // namespace

TileChoice choose_tile(const Properties& card, int architecture, DType dtype, int64_t rows, int64_t out) {
  if (dtype == DType::kF32)
    return {TileFamily::kFloat, fastest(std::span<const FloatTileSpec>(kFloatTiles), card, rows, out)};
  if (architecture < 80) return {TileFamily::kSm75, fastest(std::span<const TileSpec>(kTilesSm75), card, rows, out)};
  // Its wgmma exists for int8, too, but mma.sync is what is written.
  if (architecture == 90 && dtype != DType::kI8)
    return {TileFamily::kSm90, fastest(std::span<const HopperTileSpec>(kTilesSm90), card, rows, out)};
  // sm_86 and sm_89 have 100 KB of shared memory: two blocks of 128x128 run on a multiprocessor, but one of 128x256.
  const bool small_memory = card.shared_bytes_per_multiprocessor < (int{128} << 10);
  const int first = small_memory ? 1 : 0;
  const auto tiles = std::span<const TileSpec>(kTilesSm80).subspan(static_cast<size_t>(first));
  return {TileFamily::kSm80, first + fastest(tiles, card, rows, out)};
}

}  // namespace embedcore::cuda
