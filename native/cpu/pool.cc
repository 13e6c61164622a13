// ops/pool.h
#include "ops/pool.h"

#include <algorithm>
#include <cmath>

#include "cpu/backend.h"
#include "cpu/simd.h"
#include "ops/checks.h"

namespace embedcore::cpu::EMBEDCORE_ISA {
namespace {

void copy_row(const float* x, float* y, int64_t width) {
  std::memcpy(y, x, static_cast<size_t>(width) * sizeof(float));
}

void pool_text(const PoolArgs& args, int64_t text) {
  const int64_t start = args.offsets[text], end = args.offsets[text + 1];
  const int64_t begin = std::min<int64_t>(end, start + (args.skip ? args.skip[text] : 0));
  const int64_t n = end - begin;
  float* y = args.y + text * args.y_stride;
  auto row = [&](int64_t t) { return args.x + t * args.x_stride; };

  for (int64_t d = 0; d < args.width; ++d) y[d] = 0.0f;
  if (n == 0) return;

  switch (args.mode) {
    case Pooling::kCls: return copy_row(row(begin), y, args.width);
    case Pooling::kLastToken: return copy_row(row(end - 1), y, args.width);
    case Pooling::kMax:
      copy_row(row(begin), y, args.width);
      for (int64_t t = begin + 1; t < end; ++t)
        for (int64_t d = 0; d < args.width; ++d) {
          const float value = row(t)[d];
          y[d] = value > y[d] || value != value ? value : y[d];  // a NaN is kept, as in torch.max
        }
      return;
    case Pooling::kMean:
    case Pooling::kMeanSqrtLen: {
      for (int64_t t = begin; t < end; ++t)
        for (int64_t d = 0; d < args.width; ++d) y[d] += row(t)[d];
      const float count = static_cast<float>(n);
      const float divisor = args.mode == Pooling::kMean ? count : std::sqrt(count);
      for (int64_t d = 0; d < args.width; ++d) y[d] /= divisor;
      return;
    }
    case Pooling::kWeightedMean: {
      float total = 0.0f;
      for (int64_t t = begin; t < end; ++t) {
        const float weight = static_cast<float>(t - start + 1);
        total += weight;
        for (int64_t d = 0; d < args.width; ++d) y[d] += row(t)[d] * weight;
      }
      for (int64_t d = 0; d < args.width; ++d) y[d] /= total;
      return;
    }
  }
}

// dx = dy * factor, or dx += dy * factor; a factor of 0 does not read dy.
void give_row(const PoolGradientArgs& args, int64_t token, const float* dy, float factor) {
  float* dx = args.dx + token * args.dx_stride;
  if (factor == 0.0f) {
    if (!args.add) std::memset(dx, 0, static_cast<size_t>(args.width) * sizeof(float));
    return;
  }
  for (int64_t d = 0; d < args.width; ++d) dx[d] = args.add ? dx[d] + dy[d] * factor : dy[d] * factor;
}

// kMax in the columns of one vector: which of the tokens begin .. end has the maximum, then what all of the text get.
void give_maximum(const PoolGradientArgs& args, int64_t start, int64_t begin, int64_t end, const float* dy,
                  int64_t column) {
  const int64_t left = args.width - column;
  const auto row = [&](int64_t t) { return load_upto(args.x + t * args.x_stride + column, left); };
  Vec most = row(begin);
  IntVec best = broadcast(static_cast<int32_t>(begin));
  for (int64_t t = begin + 1; t < end; ++t) {
    const Vec value = row(t);
    const IntVec better = (value > most) | ((value != value) & (most == most));  // a NaN is the maximum, the first one
    most = better ? value : most;
    best = better ? broadcast(static_cast<int32_t>(t)) : best;
  }
  const Vec given = load_upto(dy + column, left);
  for (int64_t t = start; t < end; ++t) {
    float* dx = args.dx + t * args.dx_stride + column;
    const Vec value = best == broadcast(static_cast<int32_t>(t)) ? given : Vec{};
    store_upto(dx, args.add ? load_upto(dx, left) + value : value, left);
  }
}

void give_text(const PoolGradientArgs& args, int64_t text) {
  const int64_t start = args.offsets[text], end = args.offsets[text + 1];
  const int64_t begin = std::min<int64_t>(end, start + (args.skip ? args.skip[text] : 0)), n = end - begin;
  const float* dy = args.dy + text * args.dy_stride;
  if (args.mode == Pooling::kMax && n > 0) {
    for (int64_t column = 0; column < args.width; column += kWidth) give_maximum(args, start, begin, end, dy, column);
    return;
  }
  const auto count = static_cast<double>(n);
  const double weights = count * static_cast<double>((begin - start + 1) + (end - start)) / 2;
  const auto factor = [&](int64_t t) {
    switch (args.mode) {
      case Pooling::kCls: return t == begin ? 1.0 : 0.0;
      case Pooling::kLastToken: return t == end - 1 ? 1.0 : 0.0;
      case Pooling::kMean: return 1.0 / count;
      case Pooling::kMeanSqrtLen: return 1.0 / std::sqrt(count);
      case Pooling::kWeightedMean: return static_cast<double>(t - start + 1) / weights;
      case Pooling::kMax: break;
    }
    return 0.0;
  };
  for (int64_t t = start; t < end; ++t) give_row(args, t, dy, t < begin ? 0.0f : static_cast<float>(factor(t)));
}

}  // namespace

Status pool(Stream& stream, const PoolArgs& args) {
  if (!can_run(stream, args)) return kBadArgument;
  run_tasks(stream, args.texts, [&](int64_t text) { pool_text(args, text); });
  return kOk;
}

Status pool_gradient(Stream& stream, const PoolGradientArgs& args) {
  if (!can_run(stream, args)) return kBadArgument;
  run_tasks(stream, args.texts, [&](int64_t text) { give_text(args, text); });
  return kOk;
}

}  // namespace embedcore::cpu::EMBEDCORE_ISA
