// ops/fuse.h
#include "ops/fuse.h"

#include "cpu/backend.h"
#include "cpu/simd.h"

namespace embedcore::cpu::EMBEDCORE_ISA {

Status fuse(Stream&, const FuseArgs& args) {
  for (int64_t row = 0; row < args.rows; ++row) {
    const float* x = args.x + row * args.x_stride;
    float* y = args.y + row * args.y_stride;
    for (int64_t d = 0; d < args.width; ++d) y[d] = args.first ? x[d] * args.factor : y[d] + x[d] * args.factor;
  }
  return kOk;
}

}  // namespace embedcore::cpu::EMBEDCORE_ISA
