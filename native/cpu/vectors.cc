// Normalize, its gradient and quantize of ops/vectors.h.
#include "ops/vectors.h"

#include <algorithm>
#include <cmath>

#include "cpu/backend.h"
#include "cpu/lengths.h"
#include "ops/checks.h"

namespace embedcore::cpu::EMBEDCORE_ISA {
namespace {

constexpr int64_t kRowsPerTask = 64;

uint8_t quantize_level(const QuantizeArgs& args, const float* x, int64_t d) {
  const float step = (args.maximum[d] - args.minimum[d]) / 255.0f;
  const float steps = std::floor((x[d] - args.minimum[d]) / (step == 0.0f ? 1.0f : step));
  if (!(steps > 0.0f)) return 0;  // also for NaN, which cannot become an integer
  return steps < 255.0f ? static_cast<uint8_t>(steps) : 255;
}

void quantize_row(const QuantizeArgs& args, int64_t row) {
  const float* x = args.x + row * args.width;
  if (args.precision == Precision::kInt8 || args.precision == Precision::kUint8) {
    const int offset = args.precision == Precision::kInt8 ? 128 : 0;
    uint8_t* y = args.y + row * args.width;
    for (int64_t d = 0; d < args.width; ++d) y[d] = static_cast<uint8_t>(quantize_level(args, x, d) - offset);
    return;
  }
  const int64_t bytes = (args.width + 7) / 8;
  const int offset = args.precision == Precision::kBinary ? 128 : 0;
  uint8_t* y = args.y + row * bytes;
  for (int64_t b = 0; b < bytes; ++b) {
    int value = 0;
    for (int64_t bit = 0; bit < 8; ++bit) {
      const int64_t d = b * 8 + bit;
      if (d < args.width && x[d] > 0.0f) value |= 0x80 >> bit;
    }
    y[b] = static_cast<uint8_t>(value - offset);
  }
}

float dot(const float* a, const float* b, int64_t width) {
  const int64_t whole = width / kWidth * kWidth;
  Vec total = {};
  for (int64_t i = 0; i < whole; i += kWidth) total += load(a + i) * load(b + i);
  if (whole < width) total += load_part(a + whole, width - whole) * load_part(b + whole, width - whole);
  return sum_lanes(total);
}

void normalize_gradient_row(const NormalizeGradientArgs& args, int64_t row) {
  const float* y = args.y + row * args.y_stride;
  const float* dy = args.dy + row * args.dy_stride;
  float* dx = args.dx + row * args.dx_stride;
  const bool is_short = args.lengths[row] < kLeastLength;
  const Vec along = broadcast(is_short ? 0.0f : dot(y, dy, args.width)),
            length = broadcast(is_short ? kLeastLength : args.lengths[row]);
  for (int64_t i = 0; i < args.width; i += kWidth) {
    const int64_t left = args.width - i;
    store_upto(dx + i, (load_upto(dy + i, left) - load_upto(y + i, left) * along) / length, left);
  }
}

}  // namespace

Status normalize(Stream& stream, const NormalizeArgs& args) {
  if (!can_run(stream, args)) return kBadArgument;
  run_tasks(stream, divide_up(args.rows, kRowsPerTask), [&](int64_t task) {
    const int64_t end = std::min(args.rows, (task + 1) * kRowsPerTask);
    for (int64_t row = task * kRowsPerTask; row < end; ++row) {
      float* x = args.x + row * args.stride;
      const float length = std::sqrt(sum_squares(x, args.width)), divisor = std::max(length, kLeastLength);
      if (args.lengths) args.lengths[row] = length;
      for (int64_t d = 0; d < args.width; ++d) x[d] /= divisor;
    }
  });
  return kOk;
}

Status normalize_gradient(Stream& stream, const NormalizeGradientArgs& args) {
  if (!can_run(stream, args)) return kBadArgument;
  run_tasks(stream, divide_up(args.rows, kRowsPerTask), [&](int64_t task) {
    const int64_t end = std::min(args.rows, (task + 1) * kRowsPerTask);
    for (int64_t row = task * kRowsPerTask; row < end; ++row) normalize_gradient_row(args, row);
  });
  return kOk;
}

Status quantize(Stream& stream, const QuantizeArgs& args) {
  if (!can_run(stream, args)) return kBadArgument;
  run_tasks(stream, divide_up(args.rows, kRowsPerTask), [&](int64_t task) {
    const int64_t end = std::min(args.rows, (task + 1) * kRowsPerTask);
    for (int64_t row = task * kRowsPerTask; row < end; ++row) quantize_row(args, row);
  });
  return kOk;
}

}  // namespace embedcore::cpu::EMBEDCORE_ISA
