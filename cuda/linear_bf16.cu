#include "linear_kernels.h"
#include "linear_mma.cuh"

namespace embedcore::cuda {

Error launch_bf16(StreamHandle stream, int index, const TileArgs& args) {
  return launch_tile<Product16<bf16>, kTilesSm80>(stream, index, args);
}

}  // namespace embedcore::cuda
