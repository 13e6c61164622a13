// ops/fuse.h
#include "ops/fuse.h"

#include <algorithm>

#include "cpu/backend.h"
#include "cpu/simd.h"
#include "ops/checks.h"

namespace embedcore::cpu::EMBEDCORE_ISA {

namespace {
constexpr int64_t kRowsPerTask = 64;
}

Status fuse(Stream& stream, const FuseArgs& args) {
  if (!can_run(stream, args)) return kBadArgument;
  run_tasks(stream, divide_up(args.rows, kRowsPerTask), [&](int64_t task) {
    const int64_t end = std::min(args.rows, (task + 1) * kRowsPerTask);
    for (int64_t row = task * kRowsPerTask; row < end; ++row) {
      const float* x = args.x + row * args.x_stride;
      float* y = args.y + row * args.y_stride;
      for (int64_t d = 0; d < args.width; ++d) y[d] = args.first ? x[d] * args.factor : y[d] + x[d] * args.factor;
    }
  });
  return kOk;
}

}  // namespace embedcore::cpu::EMBEDCORE_ISA
