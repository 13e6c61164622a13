#include "linear_f32.cuh"

#include "linear_kernels.h"

namespace embedcore::cuda {

Error launch_float(StreamHandle stream, int index, const FloatArgs& args) {
  return launch_float_tile(stream, index, args);
}

}  // namespace embedcore::cuda
