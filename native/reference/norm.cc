// ops/norm.h
#include "ops/norm.h"

#include <cmath>

#include "ops/checks.h"
#include "reference/ops.h"
#include "reference/rows.h"

namespace embedcore::reference {
namespace {

// x normalised by what the forward pass kept.
template <typename Args>
double normalised(const Args& args, int64_t row, int64_t d) {
  const double mean = args.kind == NormKind::kLayer ? args.mean[row] : 0.0;
  return (args.x[row * args.x_stride + d] - mean) * args.rstd[row];
}

void add_to(float& sum, double value) { sum = static_cast<float>(sum + value); }

}  // namespace

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

Status norm_gradient(Stream& stream, const NormGradientArgs& args) {
  if (!can_run(stream, args)) return kBadArgument;
  const double n = static_cast<double>(args.width);
  for (int64_t row = 0; row < args.rows; ++row) {
    const float* dy = args.dy + row * args.dy_stride;
    float* dx = args.dx + row * args.dx_stride;
    auto scaled = [&](int64_t d) { return dy[d] * (args.weight ? static_cast<double>(args.weight[d]) : 1.0); };
    double mean = 0, along = 0;  // of g, and of g n
    for (int64_t d = 0; d < args.width; ++d) {
      if (args.kind == NormKind::kLayer) mean += scaled(d) / n;
      along += scaled(d) * normalised(args, row, d) / n;
    }
    for (int64_t d = 0; d < args.width; ++d) {
      const double value = args.rstd[row] * (scaled(d) - mean - normalised(args, row, d) * along);
      dx[d] = static_cast<float>(args.add ? dx[d] + value : value);
    }
  }
  return kOk;
}

Status norm_weight_gradient(Stream& stream, const NormWeightGradientArgs& args) {
  if (!can_run(stream, args)) return kBadArgument;
  for (int64_t d = 0; d < args.width; ++d) {
    double weight = 0, bias = 0;
    for (int64_t row = 0; row < args.rows; ++row) {
      const double dy = args.dy[row * args.dy_stride + d];
      if (args.dweight) weight += dy * normalised(args, row, d);
      bias += dy;
    }
    if (args.dweight) add_to(args.dweight[d], weight);
    if (args.dbias) add_to(args.dbias[d], bias);
  }
  return kOk;
}

}  // namespace embedcore::reference
