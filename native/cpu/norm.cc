// ops/norm.h: two passes for the layer norm's mean and variance, so that a large mean does not cancel the variance.
#include "ops/norm.h"

#include <algorithm>
#include <cmath>

#include "cpu/backend.h"
#include "cpu/simd.h"
#include "ops/checks.h"

namespace embedcore::cpu::EMBEDCORE_ISA {
namespace {

constexpr int64_t kRowsPerTask = 64;

// Sum over the row of (x - center)^power, power 1 or 2. Four chains of additions, because within a chain each addition
// waits for the one before.
template <int kPower>
float row_sum(const float* x, int64_t width, float center) {
  constexpr int kChains = 4;
  Vec total[kChains] = {};
  const auto add = [c = broadcast(center), &total](int chain, Vec value) {
    const Vec d = value - c;
    total[chain] += kPower == 1 ? d : d * d;
  };
  const int64_t whole = width / kWidth * kWidth, rounds = width / (kChains * kWidth) * (kChains * kWidth);
  for (int64_t i = 0; i < rounds; i += kChains * kWidth)
    for (int chain = 0; chain < kChains; ++chain) add(chain, load(x + i + chain * kWidth));
  for (int64_t i = rounds; i < whole; i += kWidth) add(0, load(x + i));
  if (whole < width) add(1, load_part(x + whole, width - whole, center));
  return sum_lanes((total[0] + total[1]) + (total[2] + total[3]));
}

template <typename Element>
void norm_row(const NormArgs& args, int64_t row) {
  const float* x = args.x + row * args.x_stride;
  Element* y = static_cast<Element*>(args.y) + row * args.y_stride;
  const float n = static_cast<float>(args.width);
  const float mean = args.kind == NormKind::kLayer ? row_sum<1>(x, args.width, 0.0f) / n : 0.0f;
  const float scale = 1.0f / std::sqrt(row_sum<2>(x, args.width, mean) / n + args.epsilon);
  if (args.mean && args.kind == NormKind::kLayer) args.mean[row] = mean;
  if (args.rstd) args.rstd[row] = scale;
  const auto write = [&](int64_t i, auto take) {
    Vec value = (take(x + i) - broadcast(mean)) * broadcast(scale);
    if (args.weight) value *= take(args.weight + i);
    if (args.bias) value += take(args.bias + i);
    return value;
  };
  const int64_t whole = args.width / kWidth * kWidth, rest = args.width - whole;
  for (int64_t i = 0; i < whole; i += kWidth) store(y + i, write(i, [](const float* from) { return load(from); }));
  if (rest) store_part(y + whole, write(whole, [rest](const float* from) { return load_part(from, rest); }), rest);
}

}  // namespace

Status norm(Stream& stream, const NormArgs& args) {
  if (!can_run(stream, args, supports)) return kBadArgument;
  run_tasks(stream, (args.rows + kRowsPerTask - 1) / kRowsPerTask, [&](int64_t task) {
    const int64_t end = std::min(args.rows, (task + 1) * kRowsPerTask);
    for (int64_t row = task * kRowsPerTask; row < end; ++row)
      args.y_dtype == DType::kBF16 ? norm_row<uint16_t>(args, row) : norm_row<float>(args, row);
  });
  return kOk;
}

}  // namespace embedcore::cpu::EMBEDCORE_ISA
