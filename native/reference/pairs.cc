// ops/pairs.h
#include "ops/pairs.h"

#include <algorithm>
#include <cmath>

#include "ops/checks.h"
#include "reference/ops.h"

namespace embedcore::reference {
namespace {

constexpr double kLeastLength = 1e-8;

double dot(const float* a, const float* b, int64_t width) {
  double sum = 0;
  for (int64_t d = 0; d < width; ++d) sum += static_cast<double>(a[d]) * b[d];
  return sum;
}

double length_of(const float* x, int64_t width) { return std::sqrt(dot(x, x, width)); }

// The rows of a pair; x and y are the halves of a, z and w those of b.
struct Pair {
  const float *a, *b;
  int64_t width;
  double epsilon;

  double difference(int64_t d) const { return static_cast<double>(a[d]) - b[d] + epsilon; }
  int64_t half() const { return (width + 1) / 2; }
  double second(const float* row, int64_t k) const { return half() + k < width ? row[half() + k] : 0.0; }
  double angle_sum() const {
    double sum = 0;
    for (int64_t k = 0; k < half(); ++k) {
      const double z = b[k], w = second(b, k);
      sum += a[k] * (z - w) + second(a, k) * (z + w);
    }
    return sum;
  }
};

double score_of(PairScore kind, const Pair& pair) {
  const int64_t width = pair.width;
  const auto lengths = [&] {
    return std::max(length_of(pair.a, width), kLeastLength) * std::max(length_of(pair.b, width), kLeastLength);
  };
  double sum = 0;
  switch (kind) {
    case PairScore::kCosine: return dot(pair.a, pair.b, width) / lengths();
    case PairScore::kDot: return dot(pair.a, pair.b, width);
    case PairScore::kEuclidean:
      for (int64_t d = 0; d < width; ++d) sum += pair.difference(d) * pair.difference(d);
      return std::sqrt(sum);
    case PairScore::kManhattan:
      for (int64_t d = 0; d < width; ++d) sum += std::abs(pair.difference(d));
      return sum;
    case PairScore::kAngle: return std::abs(pair.angle_sum()) / lengths();
  }
  return 0;
}

double sign_of(double x) { return x > 0 ? 1 : x < 0 ? -1 : x; }

struct Lengths {
  explicit Lengths(const Pair& pair) : a(length_of(pair.a, pair.width)), b(length_of(pair.b, pair.width)) {}
  double a, b;
};

// d score / d a[d], score being that of the pair; of b by exchanging a and b, which turns differences around.
double derivative(PairScore kind, const Pair& pair, const Lengths& lengths, int64_t d, double score, bool of_b) {
  const float *own = of_b ? pair.b : pair.a, *other = of_b ? pair.a : pair.b;
  const double turn = of_b ? -1 : 1;
  const double length = of_b ? lengths.b : lengths.a, other_length = of_b ? lengths.a : lengths.b;
  const double scale = 1 / (std::max(length, kLeastLength) * std::max(other_length, kLeastLength));
  const double shrink = length < kLeastLength ? 0 : score * own[d] / (length * length);
  switch (kind) {
    case PairScore::kCosine: return other[d] * scale - shrink;
    case PairScore::kDot: return other[d];
    case PairScore::kEuclidean: return score == 0 ? 0 : turn * pair.difference(d) / score;
    case PairScore::kManhattan: return turn * sign_of(pair.difference(d));
    case PairScore::kAngle: {
      const bool is_second = d >= pair.half();
      const int64_t k = is_second ? d - pair.half() : d;
      const double first = other[k], second = pair.second(other, k);
      // of a: x: z - w, y: z + w; of b: z: x + y, w: y - x
      const double of_sum = is_second == of_b ? (of_b ? second - first : first - second) : first + second;
      return sign_of(pair.angle_sum()) * of_sum * scale - shrink;
    }
  }
  return 0;
}

}  // namespace

Status pair_scores(Stream& stream, const PairScoresArgs& args) {
  if (!can_run(stream, args)) return kBadArgument;
  for (int64_t row = 0; row < args.rows; ++row) {
    const Pair pair{args.a + row * args.a_stride, args.b + row * args.b_stride, args.width, args.epsilon};
    args.scores[row] = static_cast<float>(score_of(args.kind, pair));
  }
  return kOk;
}

Status pair_gradient(Stream& stream, const PairGradientArgs& args) {
  if (!can_run(stream, args)) return kBadArgument;
  for (int64_t row = 0; row < args.rows; ++row) {
    const Pair pair{args.a + row * args.a_stride, args.b + row * args.b_stride, args.width, args.epsilon};
    const double score = score_of(args.kind, pair), dscore = args.dscores[row];
    if (args.kind == PairScore::kAngle && score == 0) continue;
    const Lengths lengths(pair);
    for (int64_t d = 0; d < args.width; ++d) {
      if (args.da) {
        float& da = args.da[row * args.da_stride + d];
        da = static_cast<float>(da + dscore * derivative(args.kind, pair, lengths, d, score, false));
      }
      if (args.db) {
        float& db = args.db[row * args.db_stride + d];
        db = static_cast<float>(db + dscore * derivative(args.kind, pair, lengths, d, score, true));
      }
    }
  }
  return kOk;
}

Status squared_error(Stream& stream, const SquaredErrorArgs& args) {
  if (!can_run(stream, args)) return kBadArgument;
  for (int64_t row = 0; row < args.rows; ++row) {
    const float *x = args.x + row * args.x_stride, *target = args.target + row * args.target_stride;
    double sum = 0;
    for (int64_t d = 0; d < args.width; ++d) {
      const double difference = static_cast<double>(x[d]) - target[d];
      sum += difference * difference;
      if (!args.dx) continue;
      float& dx = args.dx[row * args.dx_stride + d];
      dx = static_cast<float>(dx + 2.0 * args.weight * difference);
    }
    args.loss[row] = static_cast<float>(sum);
  }
  return kOk;
}

}  // namespace embedcore::reference
