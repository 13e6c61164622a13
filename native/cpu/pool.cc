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

}  // namespace

Status pool(Stream& stream, const PoolArgs& args) {
  if (!can_run(stream, args)) return kBadArgument;
  run_tasks(stream, args.texts, [&](int64_t text) { pool_text(args, text); });
  return kOk;
}

}  // namespace embedcore::cpu::EMBEDCORE_ISA
