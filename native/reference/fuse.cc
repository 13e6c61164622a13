// ops/fuse.h
#include "ops/fuse.h"

#include "ops/checks.h"
#include "reference/ops.h"

namespace embedcore::reference {

Status fuse(Stream& stream, const FuseArgs& args) {
  if (!can_run(stream, args)) return kBadArgument;
  for (int64_t row = 0; row < args.rows; ++row) {
    for (int64_t d = 0; d < args.width; ++d) {
      const double term = static_cast<double>(args.x[row * args.x_stride + d]) * static_cast<double>(args.factor);
      float& y = args.y[row * args.y_stride + d];
      y = static_cast<float>(args.first ? term : y + term);
    }
  }
  return kOk;
}

}  // namespace embedcore::reference
