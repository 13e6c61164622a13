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

Status activation_gradient(Stream& stream, const ActivationGradientArgs& args) {
  if (!can_run(stream, args, supports)) return kBadArgument;
  for (int64_t row = 0; row < args.rows; ++row) {
    const float* dy = args.dy + row * args.dy_stride;
    float* dx = args.dx + row * args.dx_stride;
    for (int64_t j = 0; j < args.width; ++j) {
      const double x = read(args.x, args.dtype, row * args.x_stride + j), gradient = dy[j];
      const double factor = args.gated ? read(args.x, args.dtype, row * args.x_stride + args.width + j) : 1.0;
      const double value = activate(args.activation, x);
      dx[j] = static_cast<float>(gradient * factor * activation_slope(args.activation, x));
      if (args.gated) dx[args.width + j] = static_cast<float>(gradient * value);
      if (args.y) write(args.y, args.dtype, row * args.y_stride + j, value * factor);
    }
  }
  return kOk;
}

}  // namespace embedcore::reference
