// ops/pool.h
#include "ops/pool.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/checks.h"
#include "reference/ops.h"

namespace embedcore::reference {
namespace {

// Dimension d of the text of tokens start .. end, of which begin .. end are left; there is at least one such token.
double pool_tokens(const PoolArgs& args, int64_t start, int64_t begin, int64_t end, int64_t d) {
  auto x = [&](int64_t t) { return static_cast<double>(args.x[t * args.x_stride + d]); };
  const double n = static_cast<double>(end - begin);
  double sum = 0, weights = 0, greatest = -std::numeric_limits<double>::infinity();
  for (int64_t t = begin; t < end; ++t) {
    const double weight = args.mode == Pooling::kWeightedMean ? static_cast<double>(t - start + 1) : 1.0;
    sum += weight * x(t);
    weights += weight;
    greatest = std::isnan(x(t)) ? x(t) : std::max(greatest, x(t));  // max keeps a NaN in its left argument
  }
  switch (args.mode) {
    case Pooling::kCls: return x(begin);
    case Pooling::kMax: return greatest;
    case Pooling::kMean:
    case Pooling::kWeightedMean: return sum / weights;
    case Pooling::kMeanSqrtLen: return sum / std::sqrt(n);
    case Pooling::kLastToken: return x(end - 1);
  }
  return 0;
}

// The first of the tokens begin .. end with the greatest x in dimension d; a NaN is greater than all numbers.
int64_t greatest_token(const PoolGradientArgs& args, int64_t begin, int64_t end, int64_t d) {
  int64_t best = begin;
  for (int64_t t = begin + 1; t < end; ++t) {
    const float value = args.x[t * args.x_stride + d], most = args.x[best * args.x_stride + d];
    if (value > most || (std::isnan(value) && !std::isnan(most))) best = t;
  }
  return best;
}

// What token t gets of its text's gradient; the text is as in pool_tokens.
double share_of(const PoolGradientArgs& args, int64_t start, int64_t begin, int64_t end, int64_t t, int64_t d) {
  if (t < begin) return 0;
  const double n = static_cast<double>(end - begin);
  const double first = static_cast<double>(begin - start + 1), last = static_cast<double>(end - start);
  switch (args.mode) {
    case Pooling::kCls: return t == begin ? 1 : 0;
    case Pooling::kMean: return 1 / n;
    case Pooling::kMax: return t == greatest_token(args, begin, end, d) ? 1 : 0;
    case Pooling::kMeanSqrtLen: return 1 / std::sqrt(n);
    case Pooling::kWeightedMean: return static_cast<double>(t - start + 1) / (n * (first + last) / 2);
    case Pooling::kLastToken: return t == end - 1 ? 1 : 0;
  }
  return 0;
}

}  // namespace

Status pool(Stream& stream, const PoolArgs& args) {
  if (!can_run(stream, args)) return kBadArgument;
  for (int64_t text = 0; text < args.texts; ++text) {
    const int64_t start = args.offsets[text], end = args.offsets[text + 1];
    const int64_t begin = std::min<int64_t>(end, start + (args.skip ? args.skip[text] : 0));
    for (int64_t d = 0; d < args.width; ++d)
      args.y[text * args.y_stride + d] =
          begin < end ? static_cast<float>(pool_tokens(args, start, begin, end, d)) : 0.0f;
  }
  return kOk;
}

Status pool_gradient(Stream& stream, const PoolGradientArgs& args) {
  if (!can_run(stream, args)) return kBadArgument;
  for (int64_t text = 0; text < args.texts; ++text) {
    const int64_t start = args.offsets[text], end = args.offsets[text + 1];
    const int64_t begin = std::min<int64_t>(end, start + (args.skip ? args.skip[text] : 0));
    for (int64_t t = start; t < end; ++t) {
      for (int64_t d = 0; d < args.width; ++d) {
        const double share = share_of(args, start, begin, end, t, d);
        const double value = share == 0 ? 0 : args.dy[text * args.dy_stride + d] * share;
        float& to = args.dx[t * args.dx_stride + d];
        to = static_cast<float>(args.add ? to + value : value);
      }
    }
  }
  return kOk;
}

}  // namespace embedcore::reference
