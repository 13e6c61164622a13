// ops/norm.h
#include "ops/norm.h"

#include <cmath>

#include "ops/checks.h"
#include "reference/ops.h"
#include "reference/rows.h"

namespace embedcore::reference {

Status norm(Stream& stream, const NormArgs& args) {
  if (!can_run(stream, args, supports)) return kBadArgument;
  const double n = static_cast<double>(args.width);
  for (int64_t row = 0; row < args.rows; ++row) {
    const float* x = args.x + row * args.x_stride;
    double mean = 0;
    if (args.kind == NormKind::kLayer) {
      for (int64_t d = 0; d < args.width; ++d) mean += x[d];
      mean /= n;
    }
    double squares = 0;
    for (int64_t d = 0; d < args.width; ++d) squares += (x[d] - mean) * (x[d] - mean);
    const double length = std::sqrt(squares / n + static_cast<double>(args.epsilon));
    if (args.mean && args.kind == NormKind::kLayer) args.mean[row] = static_cast<float>(mean);
    if (args.rstd) args.rstd[row] = static_cast<float>(1.0 / length);
    for (int64_t d = 0; d < args.width; ++d) {
      const double weight = args.weight ? args.weight[d] : 1.0, bias = args.bias ? args.bias[d] : 0.0;
      write(args.y, args.y_dtype, row * args.y_stride + d, (x[d] - mean) / length * weight + bias);
    }
  }
  return kOk;
}

}  // namespace embedcore::reference
