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
    ++terms;
    if (args.soft_margin) {
      loss += std::max(z, 0.0) + std::log1p(std::exp(-std::abs(z)));
      return 1 / (1 + std::exp(-z));
    }
    const double h = z + args.margin;
    if (h > 0) loss += h;
    return h > 0 ? 1 : 0;
  }
};

// One row as the anchor: its distances, and the derivatives of its terms by them.
struct Anchor {
  Anchor(const TripletArgs& arguments, const Batch& batch, int64_t row)
      : args(arguments), a(row), d(static_cast<size_t>(args.rows)), slope(d.size()) {
    for (int64_t j = 0; j < args.rows; ++j)
      if (j != a) d[static_cast<size_t>(j)] = batch.distance(a, j);
    for (int64_t j = 0; j < args.rows; ++j)
      if (j != a) (args.labels[a] == args.labels[j] ? positives : negatives).push_back(static_cast<size_t>(j));
  }

  void batch_hard(Total& total) {
    size_t positive = static_cast<size_t>(a), negative = positive;  // at the distance 0
    for (const size_t p : positives)
      if (d[p] > d[positive]) positive = p;
    for (const size_t n : negatives)
      if (n == negatives[0] || d[n] < d[negative]) negative = n;
    if (negatives.empty())
      for (size_t j = 0; j < d.size(); ++j)
        if (d[j] > d[negative]) negative = j;
    add(total, positive, negative);
  }

  void batch_all(Total& total) {
    for (const size_t p : positives)
      for (const size_t n : negatives)
        if (d[p] - d[n] + args.margin > 1e-16) add(total, p, n);
  }

  void semi_hard(Total& total) {
    for (const size_t p : positives) {
      size_t nearest = static_cast<size_t>(a), farthest = nearest;  // at the distance 0
      bool is_farther = false;
      for (const size_t n : negatives) {
        if (d[n] > d[p] && (!is_farther || d[n] < d[nearest])) nearest = n, is_farther = true;
        if (n == negatives[0] || d[n] > d[farthest]) farthest = n;
      }
      add(total, p, is_farther ? nearest : farthest);
    }
  }

  void add(Total& total, size_t positive, size_t negative) {
    const double derivative = total.add(args, d[positive] - d[negative]);
    slope[positive] += derivative;
    slope[negative] -= derivative;
  }

  const TripletArgs& args;
  const int64_t a;
  std::vector<double> d, slope;
  std::vector<size_t> positives, negatives;
};

void run(const TripletArgs& args) {
  Batch batch(args);
  Total total;
  if (!batch.is_finite()) {
    args.loss[0] = std::numeric_limits<float>::quiet_NaN();
    if (args.counted) args.counted[0] = 0;
    return;
  }
  for (int64_t row = 0; row < args.rows; ++row) {
    Anchor anchor(args, batch, row);
    switch (args.mining) {
      case TripletMining::kBatchHard: anchor.batch_hard(total); break;
      case TripletMining::kBatchAll: anchor.batch_all(total); break;
      case TripletMining::kSemiHard: anchor.semi_hard(total); break;
    }
    for (int64_t j = 0; j < args.rows; ++j) batch.add_gradient(row, j, anchor.slope[static_cast<size_t>(j)]);
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
