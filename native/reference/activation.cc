// ops/activation.h
#include "ops/activation.h"

#include "ops/checks.h"
#include "reference/activation.h"
#include "reference/ops.h"
#include "reference/rows.h"

namespace embedcore::reference {

Status activation(Stream& stream, const ActivationArgs& args) {
  if (!can_run(stream, args, supports)) return kBadArgument;
  for (int64_t row = 0; row < args.rows; ++row) {
    for (int64_t j = 0; j < args.width; ++j) {
      double value = activate(args.activation, read(args.x, args.dtype, row * args.x_stride + j));
      if (args.gated) value *= read(args.x, args.dtype, row * args.x_stride + args.width + j);
      write(args.y, args.dtype, row * args.y_stride + j, value);
    }
  }
  return kOk;
}

}  // namespace embedcore::reference
