// ops/norm.h: two passes for the layer norm's mean and variance, so that a large mean does not eat the variance.
#include "ops/norm.h"

#include <algorithm>
#include <cmath>

#include "cpu/backend.h"
#include "cpu/simd.h"

namespace embedcore::cpu::EMBEDCORE_ISA {
namespace {

constexpr int64_t kRowsPerTask = 64;

// sum over the row of (x - center)^power, power 1 or 2
template <int kPower>
float row_sum(const float* x, int64_t width, float center) {
  const Vec c = broadcast(center);
  const int64_t whole = width / kWidth * kWidth;
  Vec total = {};
  for (int64_t i = 0; i < whole; i += kWidth) {
    const Vec d = load(x + i) - c;
    total += kPower == 1 ? d : d * d;
  }
  if (whole < width) {
    const Vec d = load_part(x + whole, width - whole, center) - c;
    total += kPower == 1 ? d : d * d;
  }
  return sum_lanes(total);
}

template <typename Element>
void norm_row(const NormArgs& args, int64_t row) {
  const float* x = args.x + row * args.x_stride;
  Element* y = static_cast<Element*>(args.y) + row * args.y_stride;
  const float n = static_cast<float>(args.width);
  const float mean = args.kind == NormKind::kLayer ? row_sum<1>(x, args.width, 0.0f) / n : 0.0f;
  const float scale = 1.0f / std::sqrt(row_sum<2>(x, args.width, mean) / n + args.epsilon);
  for (int64_t i = 0; i < args.width; i += kWidth) {
    const int64_t left = args.width - i;
    const bool whole = left >= kWidth;
    auto take = [&](const float* from, float absent) { return !from ? broadcast(absent) : whole ? load(from + i) : load_part(from + i, left); };
    const Vec value = (take(x, 0.0f) - broadcast(mean)) * broadcast(scale) * take(args.weight, 1.0f) + take(args.bias, 0.0f);
    store_upto(y + i, value, left);
  }
}

}  // namespace

Status norm(Scope& scope, const NormArgs& args) {
  run_tasks(scope, (args.rows + kRowsPerTask - 1) / kRowsPerTask, [&](int64_t task) {
    const int64_t end = std::min(args.rows, (task + 1) * kRowsPerTask);
    for (int64_t row = task * kRowsPerTask; row < end; ++row) args.y_dtype == DType::kBF16 ? norm_row<uint16_t>(args, row) : norm_row<float>(args, row);
  });
  return kOk;
}

}  // namespace embedcore::cpu::EMBEDCORE_ISA
