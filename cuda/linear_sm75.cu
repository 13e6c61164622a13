#include "linear_kernels.h"
#include "linear_mma.cuh"

namespace embedcore::cuda {

Error launch_f16_sm75(StreamHandle stream, int index, const TileArgs& args) {
  return launch_tile<Product16Sm75, kTilesSm75>(stream, index, args);
}

Error launch_int8_sm75(StreamHandle stream, int index, const TileArgs& args) {
  return launch_tile<Product8Sm75, kTilesSm75>(stream, index, args);
}

}  // namespace embedcore::cuda
