#include "linear_kernels.h"
#include "linear_sm90.cuh"

namespace embedcore::cuda {

Error launch_f16_sm90(StreamHandle stream, int index, const TileArgs& args, int multiprocessors) {
  return launch_hopper<f16>(stream, index, args, multiprocessors);
}

}  // namespace embedcore::cuda
