// ops/vectors.h
#include "ops/vectors.h"

#include <algorithm>
#include <cmath>

#include "ops/checks.h"
#include "reference/ops.h"

namespace embedcore::reference {
namespace {

double dot(const float* a, const float* b, int64_t width) {
  double sum = 0;
  for (int64_t d = 0; d < width; ++d) sum += static_cast<double>(a[d]) * b[d];
  return sum;
}

double length_of(const float* x, int64_t width) { return std::max(std::sqrt(dot(x, x, width)), 1e-12); }

double compare(Similarity kind, const float* a, const float* b, int64_t width) {
  switch (kind) {
    case Similarity::kCosine: return dot(a, b, width) / length_of(a, width) / length_of(b, width);
    case Similarity::kDot: return dot(a, b, width);
    case Similarity::kEuclidean: {
      double squares = 0;
      for (int64_t d = 0; d < width; ++d)
        squares += (static_cast<double>(a[d]) - b[d]) * (static_cast<double>(a[d]) - b[d]);
      return -std::sqrt(squares);
    }
    case Similarity::kManhattan: {
      double sum = 0;
      for (int64_t d = 0; d < width; ++d) sum += std::abs(static_cast<double>(a[d]) - b[d]);
      return -sum;
    }
  }
  return 0;
}

// In float32, because the formula is defined in that precision: a level begins at an exact float.
int level(const QuantizeArgs& args, int64_t row, int64_t d) {
  const float step = (args.maximum[d] - args.minimum[d]) / 255.0f;
  const float steps = std::floor((args.x[row * args.width + d] - args.minimum[d]) / (step == 0.0f ? 1.0f : step));
  if (!(steps > 0.0f)) return 0;  // also for NaN
  return steps < 255.0f ? static_cast<int>(steps) : 255;
}

int eight_bits(const QuantizeArgs& args, int64_t row, int64_t byte) {
  int value = 0;
  for (int64_t d = byte * 8; d < byte * 8 + 8; ++d)
    value = value * 2 + (d < args.width && args.x[row * args.width + d] > 0.0f ? 1 : 0);
  return value;
}

}  // namespace

Status normalize(Stream& stream, const NormalizeArgs& args) {
  if (!can_run(stream, args)) return kBadArgument;
  for (int64_t row = 0; row < args.rows; ++row) {
    float* x = args.x + row * args.stride;
    if (args.lengths) args.lengths[row] = static_cast<float>(std::sqrt(dot(x, x, args.width)));
    const double length = length_of(x, args.width);
    for (int64_t d = 0; d < args.width; ++d) x[d] = static_cast<float>(x[d] / length);
  }
  return kOk;
}

Status normalize_gradient(Stream& stream, const NormalizeGradientArgs& args) {
  if (!can_run(stream, args)) return kBadArgument;
  for (int64_t row = 0; row < args.rows; ++row) {
    const float* y = args.y + row * args.y_stride;
    const float* dy = args.dy + row * args.dy_stride;
    float* dx = args.dx + row * args.dx_stride;
    const bool is_short = args.lengths[row] < 1e-12f;
    const double along = is_short ? 0.0 : dot(y, dy, args.width), length = is_short ? 1e-12 : args.lengths[row];
    for (int64_t d = 0; d < args.width; ++d) dx[d] = static_cast<float>((dy[d] - y[d] * along) / length);
  }
  return kOk;
}

Status similarity(Stream& stream, const SimilarityArgs& args) {
  if (!can_run(stream, args)) return kBadArgument;
  const int64_t stride = args.y_stride == 0 ? args.rows_b : args.y_stride;
  for (int64_t i = 0; i < args.rows_a; ++i)
    for (int64_t j = 0; j < args.rows_b; ++j)
      args.y[i * stride + j] =
          static_cast<float>(compare(args.kind, args.a + i * args.width, args.b + j * args.width, args.width));
  return kOk;
}

Status quantize(Stream& stream, const QuantizeArgs& args) {
  if (!can_run(stream, args)) return kBadArgument;
  const bool levels = args.precision == Precision::kInt8 || args.precision == Precision::kUint8;
  const bool is_signed = args.precision == Precision::kInt8 || args.precision == Precision::kBinary;
  const int64_t bytes = levels ? args.width : (args.width + 7) / 8;
  for (int64_t row = 0; row < args.rows; ++row) {
    for (int64_t b = 0; b < bytes; ++b) {
      const int value = levels ? level(args, row, b) : eight_bits(args, row, b);
      args.y[row * bytes + b] = static_cast<uint8_t>(is_signed ? value - 128 : value);
    }
  }
  return kOk;
}

}  // namespace embedcore::reference
