// ops/pairs.h. A task is a run of pairs; each pair is read once for its score and once for its gradient.
#include "ops/pairs.h"

#include <algorithm>
#include <cmath>

#include "cpu/backend.h"
#include "cpu/lengths.h"
#include "ops/checks.h"

namespace embedcore::cpu::EMBEDCORE_ISA {
namespace {

constexpr int64_t kRowsPerTask = 64;
constexpr float kLeastCosineLength = 1e-8f;

// The sum of term(a, b) over vectors of a and b, in four chains.
template <typename Term>
[[gnu::always_inline]] inline float sum_terms(const float* a, const float* b, int64_t width, Term&& term) {
  constexpr int kChains = 4;
  Vec total[kChains] = {};
  int64_t i = 0;
  for (; i + kChains * kWidth <= width; i += kChains * kWidth)
    for (int chain = 0; chain < kChains; ++chain)
      total[chain] += term(load(a + i + chain * kWidth), load(b + i + chain * kWidth));
  for (; i + kWidth <= width; i += kWidth) total[0] += term(load(a + i), load(b + i));
  float sum = sum_lanes((total[0] + total[1]) + (total[2] + total[3]));
  if (i == width) return sum;
  const Vec last = term(load_part(a + i, width - i), load_part(b + i, width - i));
  for (int64_t lane = 0; lane < width - i; ++lane) sum += last[lane];
  return sum;
}

inline Vec size_of(Vec x) { return maximum(-x, x); }

struct Pair {
  const float *a, *b;
  int64_t width;
  float epsilon;

  float product() const {
    return sum_terms(a, b, width, [](Vec x, Vec y) { return x * y; });
  }
  float length_a() const { return std::sqrt(sum_squares(a, width)); }
  float length_b() const { return std::sqrt(sum_squares(b, width)); }

  // Vectors k .. of the halves of both rows.
  struct Halves {
    Vec x, y, z, w;
  };
  int64_t half() const { return (width + 1) / 2; }
  Halves halves(int64_t k) const {
    const int64_t first = half() - k, second = width - half() - k;
    return {load_upto(a + k, first), load_upto(a + half() + k, second), load_upto(b + k, first),
            load_upto(b + half() + k, second)};
  }
  float angle_sum() const {
    Vec total = {};
    for (int64_t k = 0; k < half(); k += kWidth) {
      const Halves h = halves(k);
      total += h.x * (h.z - h.w) + h.y * (h.z + h.w);
    }
    return sum_lanes(total);
  }

  float score(PairScore kind) const {
    const Vec shift = broadcast(epsilon);
    switch (kind) {
      case PairScore::kCosine: return product() / (divisor(length_a()) * divisor(length_b()));
      case PairScore::kDot: return product();
      case PairScore::kEuclidean:
        return std::sqrt(sum_terms(a, b, width, [&](Vec x, Vec y) {
          const Vec difference = x - y + shift;
          return difference * difference;
        }));
      case PairScore::kManhattan: return sum_terms(a, b, width, [&](Vec x, Vec y) { return size_of(x - y + shift); });
      case PairScore::kAngle: return std::abs(angle_sum()) / (divisor(length_a()) * divisor(length_b()));
    }
    return 0;
  }

  static float divisor(float length) { return std::max(length, kLeastCosineLength); }
};

// to += value(vectors of own, of other)
template <typename Value>
[[gnu::always_inline]] inline void add_each(float* to, const float* own, const float* other, int64_t width,
                                            Value&& value) {
  if (!to) return;
  for (int64_t i = 0; i < width; i += kWidth) {
    const int64_t left = width - i;
    store_upto(to + i, load_upto(to + i, left) + value(load_upto(own + i, left), load_upto(other + i, left)), left);
  }
}

// The gradient of one pair.
struct PairGradient {
  Pair pair;
  float *da, *db;
  float dscore;

  void add(PairScore kind) const {
    const Vec shift = broadcast(pair.epsilon);
    switch (kind) {
      case PairScore::kCosine:
        return add_cosine(pair.product(), [&](float factor, float shrink_a, float shrink_b) {
          add_combination(da, pair.a, pair.b, shrink_a, factor);
          add_combination(db, pair.b, pair.a, shrink_b, factor);
        });
      case PairScore::kDot:
        add_combination(da, pair.a, pair.b, 0, dscore);
        return add_combination(db, pair.b, pair.a, 0, dscore);
      case PairScore::kEuclidean: {
        const float score = pair.score(kind);
        if (score == 0) return;
        const Vec factor = broadcast(dscore / score);
        add_each(da, pair.a, pair.b, pair.width, [&](Vec x, Vec y) { return (x - y + shift) * factor; });
        return add_each(db, pair.b, pair.a, pair.width, [&](Vec y, Vec x) { return -(x - y + shift) * factor; });
      }
      case PairScore::kManhattan:
        add_each(da, pair.a, pair.b, pair.width, [&](Vec x, Vec y) { return signed_like(x - y + shift, dscore); });
        return add_each(db, pair.b, pair.a, pair.width,
                        [&](Vec y, Vec x) { return signed_like(x - y + shift, -dscore); });
      case PairScore::kAngle: {
        const float sum = pair.angle_sum();
        if (sum == 0) return;
        return add_cosine(std::abs(sum), [&](float factor, float shrink_a, float shrink_b) {
          add_angle(std::copysign(1.0f, sum) * factor, shrink_a, shrink_b);
        });
      }
    }
  }

 private:
  static Vec signed_like(Vec x, float size) {
    const Vec zero = {};
    return x > zero ? broadcast(size) : (x < zero ? broadcast(-size) : x * broadcast(size));
  }

  // A score product / (|a| |b|): gives the factor of the product's derivative, and those of a in da and b in db.
  template <typename Add>
  void add_cosine(float product, Add&& add) const {
    const float length_a = pair.length_a(), length_b = pair.length_b();
    const float factor = dscore / (Pair::divisor(length_a) * Pair::divisor(length_b)), change = factor * product;
    add(factor, length_a < kLeastCosineLength ? 0.0f : -change / (length_a * length_a),
        length_b < kLeastCosineLength ? 0.0f : -change / (length_b * length_b));
  }

  void add_combination(float* to, const float* own, const float* other, float of_own, float of_other) const {
    const Vec own_factor = broadcast(of_own), factor = broadcast(of_other);
    if (of_own == 0)
      add_each(to, own, other, pair.width, [&](Vec, Vec y) { return y * factor; });
    else
      add_each(to, own, other, pair.width, [&](Vec x, Vec y) { return y * factor + x * own_factor; });
  }

  static void add_upto(float* to, Vec value, int64_t n) {
    if (n > 0) store_upto(to, load_upto(to, n) + value, n);
  }

  void add_angle(float factor, float shrink_a, float shrink_b) const {
    const Vec f = broadcast(factor), of_a = broadcast(shrink_a), of_b = broadcast(shrink_b);
    const int64_t half = pair.half();
    for (int64_t k = 0; k < half; k += kWidth) {
      const Pair::Halves h = pair.halves(k);
      const int64_t first = half - k, second = pair.width - half - k;
      if (da) {
        add_upto(da + k, (h.z - h.w) * f + h.x * of_a, first);
        add_upto(da + half + k, (h.z + h.w) * f + h.y * of_a, second);
      }
      if (db) {
        add_upto(db + k, (h.x + h.y) * f + h.z * of_b, first);
        add_upto(db + half + k, (h.y - h.x) * f + h.w * of_b, second);
      }
    }
  }
};

template <typename Body>
void each_row(Stream& stream, int64_t rows, Body&& body) {
  run_tasks(stream, divide_up(rows, kRowsPerTask), [&](int64_t task) {
    const int64_t end = std::min(rows, (task + 1) * kRowsPerTask);
    for (int64_t row = task * kRowsPerTask; row < end; ++row) body(row);
  });
}

}  // namespace

Status pair_scores(Stream& stream, const PairScoresArgs& args) {
  if (!can_run(stream, args)) return kBadArgument;
  each_row(stream, args.rows, [&](int64_t row) {
    const Pair pair{args.a + row * args.a_stride, args.b + row * args.b_stride, args.width, args.epsilon};
    args.scores[row] = pair.score(args.kind);
  });
  return kOk;
}

Status pair_gradient(Stream& stream, const PairGradientArgs& args) {
  if (!can_run(stream, args)) return kBadArgument;
  each_row(stream, args.rows, [&](int64_t row) {
    const PairGradient gradient{{args.a + row * args.a_stride, args.b + row * args.b_stride, args.width, args.epsilon},
                                args.da ? args.da + row * args.da_stride : nullptr,
                                args.db ? args.db + row * args.db_stride : nullptr,
                                args.dscores[row]};
    gradient.add(args.kind);
  });
  return kOk;
}

Status squared_error(Stream& stream, const SquaredErrorArgs& args) {
  if (!can_run(stream, args)) return kBadArgument;
  const Vec factor = broadcast(2 * args.weight);
  each_row(stream, args.rows, [&](int64_t row) {
    const float *x = args.x + row * args.x_stride, *target = args.target + row * args.target_stride;
    args.loss[row] = sum_terms(x, target, args.width, [](Vec a, Vec b) { return (a - b) * (a - b); });
    if (args.dx)
      add_each(args.dx + row * args.dx_stride, x, target, args.width, [&](Vec a, Vec b) { return (a - b) * factor; });
  });
  return kOk;
}

}  // namespace embedcore::cpu::EMBEDCORE_ISA
