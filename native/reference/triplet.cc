// ops/triplet.h
#include "ops/triplet.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>
#include <vector>

#include "ops/checks.h"
#include "reference/ops.h"

namespace embedcore::reference {
namespace {

class Batch {
 public:
  explicit Batch(const TripletArgs& args) : args_(args), dx_(static_cast<size_t>(args.rows * args.width)) {
    for (int64_t i = 0; i < args.rows; ++i) lengths_.push_back(std::max(std::sqrt(dot(i, i)), 1e-12));
  }

  // In float32, because so is the contract.
  bool is_finite() const {
    for (int64_t i = 0; i < args_.rows; ++i)
      if (!std::isfinite(static_cast<float>(dot(i, i)))) return false;
    return true;
  }

  double distance(int64_t i, int64_t j) const {
    if (args_.distance == Distance::kCosine) return 1 - dot(i, j) / (length(i) * length(j));
    double squares = 0;
    for (int64_t d = 0; d < args_.width; ++d) squares += std::pow(static_cast<double>(at(i, d)) - at(j, d), 2);
    return std::sqrt(squares);
  }
  bool is_positive(int64_t a, int64_t p) const { return a != p && args_.labels[a] == args_.labels[p]; }
  bool is_negative(int64_t a, int64_t n) const { return args_.labels[a] != args_.labels[n]; }

  // Adds factor * d distance(i, j) / d x.
  void add_gradient(int64_t i, int64_t j, double factor) {
    if (i == j || factor == 0) return;
    add_half(i, j, factor);
    add_half(j, i, factor);
  }

  void finish(double factor) {
    for (int64_t i = 0; i < args_.rows; ++i)
      for (int64_t d = 0; d < args_.width; ++d) {
        float& dx = args_.dx[i * args_.dx_stride + d];
        dx = static_cast<float>(dx + factor * dx_[static_cast<size_t>(i * args_.width + d)]);
      }
  }

 private:
  float at(int64_t i, int64_t d) const { return args_.x[i * args_.x_stride + d]; }
  double length(int64_t i) const { return lengths_[static_cast<size_t>(i)]; }
  double dot(int64_t i, int64_t j) const {
    double sum = 0;
    for (int64_t d = 0; d < args_.width; ++d) sum += static_cast<double>(at(i, d)) * at(j, d);
    return sum;
  }
  // To row i.
  void add_half(int64_t i, int64_t j, double factor) {
    double* dx = dx_.data() + i * args_.width;
    const double d = distance(i, j);
    if (args_.distance == Distance::kEuclidean && d == 0) return;
    for (int64_t k = 0; k < args_.width; ++k) {
      if (args_.distance == Distance::kEuclidean) {
        dx[k] += factor * (static_cast<double>(at(i, k)) - at(j, k)) / d;
        continue;
      }
      const double along = length(i) > 1e-12 ? (1 - d) * at(i, k) / length(i) : 0;
      dx[k] -= factor * (at(j, k) / length(j) - along) / length(i);
    }
  }

  const TripletArgs& args_;
  std::vector<double> dx_, lengths_;
};

struct Total {
  double loss = 0, terms = 0;

  // A term h(z); returns h'(z).
  double add(const TripletArgs& args, double z) {
    if (args.soft_margin) {
      loss += std::max(z, 0.0) + std::log1p(std::exp(-std::abs(z)));
      return 1 / (1 + std::exp(-z));
    }
    const double h = z + args.margin;
    if (!(h <= 0)) loss += h;
    return h > 0 ? 1 : 0;
  }
};

void batch_hard(const TripletArgs& args, Batch& batch, Total& total) {
  for (int64_t a = 0; a < args.rows; ++a) {
    int64_t positive = a, negative = -1, farthest = a;
    double of_positive = 0, of_negative = 0, of_farthest = 0;
    for (int64_t j = 0; j < args.rows; ++j) {
      if (j == a) continue;
      const double d = batch.distance(a, j);
      if (batch.is_positive(a, j) && !(d <= of_positive)) positive = j, of_positive = d;
      if (batch.is_negative(a, j) && (negative < 0 || !(d >= of_negative))) negative = j, of_negative = d;
      if (!(d <= of_farthest)) farthest = j, of_farthest = d;
    }
    if (negative < 0) negative = farthest, of_negative = of_farthest;
    ++total.terms;
    const double slope = total.add(args, of_positive - of_negative);
    batch.add_gradient(a, positive, slope);
    batch.add_gradient(a, negative, -slope);
  }
}

void batch_all(const TripletArgs& args, Batch& batch, Total& total) {
  for (int64_t a = 0; a < args.rows; ++a)
    for (int64_t p = 0; p < args.rows; ++p) {
      if (!batch.is_positive(a, p)) continue;
      const double of_positive = batch.distance(a, p);
      for (int64_t n = 0; n < args.rows; ++n) {
        if (!batch.is_negative(a, n)) continue;
        const double z = of_positive - batch.distance(a, n);
        if (z + args.margin <= 1e-16) continue;
        ++total.terms;
        total.add(args, z);
        batch.add_gradient(a, p, 1);
        batch.add_gradient(a, n, -1);
      }
    }
}

void semi_hard(const TripletArgs& args, Batch& batch, Total& total) {
  for (int64_t a = 0; a < args.rows; ++a)
    for (int64_t p = 0; p < args.rows; ++p) {
      if (!batch.is_positive(a, p)) continue;
      const double of_positive = batch.distance(a, p);
      int64_t nearest = -1, farthest = -1;
      double of_nearest = 0, of_farthest = 0;
      for (int64_t n = 0; n < args.rows; ++n) {
        if (!batch.is_negative(a, n)) continue;
        const double d = batch.distance(a, n);
        if (d > of_positive && (nearest < 0 || d < of_nearest)) nearest = n, of_nearest = d;
        if (farthest < 0 || !(d <= of_farthest)) farthest = n, of_farthest = d;
      }
      if (nearest < 0) nearest = farthest, of_nearest = of_farthest;
      ++total.terms;
      const double slope = total.add(args, of_positive - of_nearest);
      batch.add_gradient(a, p, slope);
      if (nearest >= 0) batch.add_gradient(a, nearest, -slope);
    }
}

void run(const TripletArgs& args) {
  Batch batch(args);
  Total total;
  if (!batch.is_finite()) {
    args.loss[0] = std::numeric_limits<float>::quiet_NaN();
    if (args.counted) args.counted[0] = 0;
    return;
  }
  switch (args.mining) {
    case TripletMining::kBatchHard: batch_hard(args, batch, total); break;
    case TripletMining::kBatchAll: batch_all(args, batch, total); break;
    case TripletMining::kSemiHard: semi_hard(args, batch, total); break;
  }
  const double mean = total.terms > 0 ? 1 / total.terms : 0;
  args.loss[0] = static_cast<float>(total.loss * mean);
  if (args.counted) args.counted[0] = static_cast<float>(total.terms);
  if (args.dx) batch.finish(args.weight * mean);
}

}  // namespace

Status triplet(Stream& stream, const TripletArgs& args) {
  if (!can_run(stream, args)) return kBadArgument;
  try {
    run(args);
  } catch (const std::bad_alloc&) {
    return kOutOfMemory;
  }
  return kOk;
}

}  // namespace embedcore::reference
