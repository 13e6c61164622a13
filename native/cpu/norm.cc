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

// Two passes over the row: the means of g and of g n, then dx.
template <NormKind kKind>
void gradient_row(const NormGradientArgs& args, int64_t row) {
  constexpr bool kLayer = kKind == NormKind::kLayer;
  constexpr int kChains = 4;  // see row_sum
  const float* x = args.x + row * args.x_stride;
  const float* dy = args.dy + row * args.dy_stride;
  float* dx = args.dx + row * args.dx_stride;
  const Vec center = broadcast(kLayer ? args.mean[row] : 0.0f), scale = broadcast(args.rstd[row]);
  const int64_t whole = args.width / kWidth * kWidth, rest = args.width - whole,
                rounds = args.width / (kChains * kWidth) * (kChains * kWidth);
  const auto take_whole = [](const float* from) { return load(from); };
  const auto take_rest = [rest](const float* from) { return load_part(from, rest); };
  const auto scaled = [&](int64_t i, auto take) {
    const Vec g = take(dy + i);
    return args.weight ? g * take(args.weight + i) : g;
  };
  const auto normalised = [&](int64_t i, auto take) { return (take(x + i) - center) * scale; };

  Vec sum[kChains] = {}, product[kChains] = {};
  const auto add = [&](int chain, int64_t i, auto take) {
    const Vec g = scaled(i, take);
    if constexpr (kLayer) sum[chain] += g;
    product[chain] += g * normalised(i, take);
  };
  for (int64_t i = 0; i < rounds; i += kChains * kWidth)
    for (int chain = 0; chain < kChains; ++chain) add(chain, i + chain * kWidth, take_whole);
  for (int64_t i = rounds; i < whole; i += kWidth) add(0, i, take_whole);
  if (rest) add(1, whole, take_rest);
  const auto mean_of = [&](const Vec(&total)[kChains]) {
    return broadcast(sum_lanes((total[0] + total[1]) + (total[2] + total[3])) / static_cast<float>(args.width));
  };
  const Vec mean = mean_of(sum), along = mean_of(product);

  const auto gradient = [&](int64_t i, auto take) {
    Vec value = scaled(i, take);
    if constexpr (kLayer) value -= mean;
    value = scale * (value - normalised(i, take) * along);
    return args.add ? take(dx + i) + value : value;
  };
  for (int64_t i = 0; i < whole; i += kWidth) store(dx + i, gradient(i, take_whole));
  if (rest) store_part(dx + whole, gradient(whole, take_rest), rest);
}

enum class Wanted { kBias, kLayer, kRms };  // the gradient of the bias alone, or of the weight too

// Adds rows begin .. end to the columns from `column` on: kVectors whole vectors, or `count` of a single one.
template <Wanted kWanted, int kVectors>
void add_columns(const NormWeightGradientArgs& args, int64_t column, int64_t count, int64_t begin, int64_t end) {
  const auto take = [count](const float* from) { return kVectors > 1 ? load(from) : load_upto(from, count); };
  const auto put = [count](float* to, Vec value) { kVectors > 1 ? store(to, value) : store_upto(to, value, count); };
  Vec weight[kVectors] = {}, bias[kVectors] = {};
  for (int v = 0; v < kVectors; ++v) {
    if (kWanted != Wanted::kBias) weight[v] = take(args.dweight + column + v * kWidth);
    if (args.dbias) bias[v] = take(args.dbias + column + v * kWidth);
  }
  for (int64_t row = begin; row < end; ++row) {
    for (int v = 0; v < kVectors; ++v) {
      const int64_t at = column + v * kWidth;
      const Vec dy = take(args.dy + row * args.dy_stride + at);
      if constexpr (kWanted != Wanted::kBias) {
        Vec n = take(args.x + row * args.x_stride + at);
        if constexpr (kWanted == Wanted::kLayer) n -= broadcast(args.mean[row]);
        weight[v] += dy * (n * broadcast(args.rstd[row]));
      }
      bias[v] += dy;
    }
  }
  for (int v = 0; v < kVectors; ++v) {
    if (kWanted != Wanted::kBias) put(args.dweight + column + v * kWidth, weight[v]);
    if (args.dbias) put(args.dbias + column + v * kWidth, bias[v]);
  }
}

// A task owns columns and walks all rows, in blocks that stay in the L1 cache while the columns' vectors take turns.
constexpr int64_t kColumnsPerTask = 64, kRowsPerBlock = 32;

template <Wanted kWanted>
void add_rows(const NormWeightGradientArgs& args, int64_t first, int64_t last) {
  constexpr int kVectors = 4;
  for (int64_t begin = 0; begin < args.rows; begin += kRowsPerBlock) {
    const int64_t end = std::min(args.rows, begin + kRowsPerBlock);
    int64_t column = first;
    for (; column + kVectors * kWidth <= last; column += kVectors * kWidth)
      add_columns<kWanted, kVectors>(args, column, kVectors * kWidth, begin, end);
    for (; column < last; column += kWidth) add_columns<kWanted, 1>(args, column, last - column, begin, end);
  }
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

Status norm_gradient(Stream& stream, const NormGradientArgs& args) {
  if (!can_run(stream, args)) return kBadArgument;
  run_tasks(stream, divide_up(args.rows, kRowsPerTask), [&](int64_t task) {
    const int64_t end = std::min(args.rows, (task + 1) * kRowsPerTask);
    for (int64_t row = task * kRowsPerTask; row < end; ++row)
      args.kind == NormKind::kLayer ? gradient_row<NormKind::kLayer>(args, row)
                                    : gradient_row<NormKind::kRms>(args, row);
  });
  return kOk;
}

Status norm_weight_gradient(Stream& stream, const NormWeightGradientArgs& args) {
  if (!can_run(stream, args)) return kBadArgument;
  if (!args.dweight && !args.dbias) return kOk;
  run_tasks(stream, divide_up(args.width, kColumnsPerTask), [&](int64_t task) {
    const int64_t first = task * kColumnsPerTask, last = std::min(args.width, first + kColumnsPerTask);
    if (!args.dweight) return add_rows<Wanted::kBias>(args, first, last);
    args.kind == NormKind::kLayer ? add_rows<Wanted::kLayer>(args, first, last)
                                  : add_rows<Wanted::kRms>(args, first, last);
  });
  return kOk;
}

}  // namespace embedcore::cpu::EMBEDCORE_ISA
