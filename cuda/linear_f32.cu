#include "linear_f32.cuh"

#include <iterator>

#include "linear_kernels.h"

namespace embedcore::cuda {
namespace {

template <int kIndex = 0>
Error launch_index(StreamHandle stream, int index, FloatArgs args) {
  if constexpr (kIndex < static_cast<int>(std::size(kFloatTiles))) {
    if (index != kIndex) return launch_index<kIndex + 1>(stream, index, args);
    constexpr FloatTileSpec kSpec = kFloatTiles[kIndex];
    using Kernel = FloatKernel<kSpec>;
    args.row_tiles = static_cast<int32_t>((args.tail.rows + kSpec.rows - 1) / kSpec.rows);
    const auto columns = static_cast<uint32_t>((args.tail.out + kSpec.columns - 1) / kSpec.columns);
    return launch<Kernel>(stream, {.x = static_cast<uint32_t>(args.row_tiles) * columns}, Kernel::kSharedBytes, args,
                          Order::kMayOverlap);
  } else {
    return Error::kInvalidValue;
  }
}

}  // namespace

Error launch_float(StreamHandle stream, int index, const FloatArgs& args) { return launch_index(stream, index, args); }

}  // namespace embedcore::cuda
