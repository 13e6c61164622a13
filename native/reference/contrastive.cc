// ops/contrastive.h
#include "ops/contrastive.h"

#include <cmath>
#include <limits>
#include <new>
#include <vector>

#include "ops/checks.h"
#include "reference/ops.h"

namespace embedcore::reference {
namespace {

constexpr double kLeftOut = -std::numeric_limits<double>::infinity();

double dot(const float* a, const float* b, int64_t width) {
  double sum = 0;
  for (int64_t d = 0; d < width; ++d) sum += static_cast<double>(a[d]) * b[d];
  return sum;
}

bool is_match(const KeyMatch& match, int64_t row, int64_t key) {
  return match.rows && match.rows[row] >= 0 && match.rows[row] == match.keys[key];
}

double limit_of(double positive, bool relative, float margin) {
  return positive - (relative ? std::abs(positive) : 1.0) * margin;
}

// One row's softmax: of all keys of all blocks, in order.
class Row {
 public:
  Row(const ContrastiveArgs& args, int64_t row) : args_(args), row_(row), positive_(args.positive[row]) {
    const ContrastiveBlock& first = args.blocks[0];
    const double own = product(first, positive_);
    const double limit = limit_of(own, args.relative_margin, args.margin);
    const double guide_limit =
        first.guide_a ? limit_of(guide_product(first, positive_), args.relative_guide_margin, args.guide_margin) : 0;
    for (int32_t b = 0; b < args.count; ++b) {
      const ContrastiveBlock& block = args.blocks[b];
      for (int64_t j = 0; j < block.keys; ++j) {
        const double c = product(block, j);
        products_.push_back(c);
        scores_.push_back(is_seen(b, j, c, limit, guide_limit) ? args.scale * c + hardness(b, j) * c : kLeftOut);
      }
    }
    // Apart from the positive: where it takes nearly all, a sum with it would leave no digits for the others.
    const double score = scores_[static_cast<size_t>(positive_)];
    most_ = score;
    for (const double each : scores_) most_ = each > most_ ? each : most_;
    for (size_t key = 0; key < scores_.size(); ++key)
      if (key != static_cast<size_t>(positive_)) others_ += std::exp(scores_[key] - most_);
    total_ = others_ + std::exp(score - most_);
    loss_ = score == most_ ? std::log1p(others_) : most_ - score + std::log(total_);
  }

  double loss() const { return loss_; }
  double product(size_t key) const { return products_[key]; }
  // Without the weight.
  double gradient(size_t key) const {
    return (key == static_cast<size_t>(positive_) ? -others_ : std::exp(scores_[key] - most_)) / total_;
  }

 private:
  double product(const ContrastiveBlock& block, int64_t key) const {
    return dot(block.a + row_ * block.a_stride, block.k + key * block.k_stride, args_.width);
  }
  double guide_product(const ContrastiveBlock& block, int64_t key) const {
    return dot(block.guide_a + row_ * block.guide_a_stride, block.guide_k + key * block.guide_k_stride,
               args_.guide_width);
  }
  bool is_positive(int32_t b, int64_t key) const { return b == 0 && key == positive_; }
  bool is_seen(int32_t b, int64_t key, double c, double limit, double guide_limit) const {
    if (is_positive(b, key)) return true;
    const ContrastiveBlock& block = args_.blocks[b];
    for (const KeyMatch& mask : block.masks)
      if (is_match(mask, row_, key)) return false;
    if (args_.has_margin && c > limit) return false;
    return !(block.guide_a && guide_product(block, key) > guide_limit);
  }
  double hardness(int32_t b, int64_t key) const {
    if (is_positive(b, key)) return 0;
    const ContrastiveBlock& block = args_.blocks[b];
    return is_match(block.own, row_, key) ? block.own_hardness : block.other_hardness;
  }

  const ContrastiveArgs& args_;
  const int64_t row_, positive_;
  std::vector<double> products_, scores_;
  double most_ = 0, others_ = 0, total_ = 0, loss_ = 0;
};

// Sums in double of what is added to gradients, one for each distinct gradient.
class Sums {
 public:
  Sums(float* to, int64_t stride, int64_t rows, int64_t width) : to_(to), stride_(stride), width_(width) {
    if (to) sums_.resize(static_cast<size_t>(rows * width));
  }
  bool is_of(const float* gradient) const { return to_ && to_ == gradient; }
  void add(int64_t row, double factor, const float* x) {
    for (int64_t d = 0; d < width_; ++d) sums_[static_cast<size_t>(row * width_ + d)] += factor * x[d];
  }
  void finish() {
    for (size_t i = 0; i < sums_.size(); ++i) {
      const auto row = static_cast<int64_t>(i) / width_, d = static_cast<int64_t>(i) % width_;
      float& to = to_[row * stride_ + d];
      to = static_cast<float>(to + sums_[i]);
    }
  }

 private:
  float* to_;
  int64_t stride_, width_;
  std::vector<double> sums_;
};

Sums& sums_of(std::vector<Sums>& all, const float* gradient) {
  for (Sums& sums : all)
    if (sums.is_of(gradient)) return sums;
  return all.front();  // of no gradient; not reached
}

void run(const ContrastiveArgs& args) {
  std::vector<Sums> all;
  const auto add_target = [&](float* to, int64_t stride, int64_t rows) {
    for (const Sums& sums : all)
      if (sums.is_of(to)) return;
    if (to) all.emplace_back(to, stride, rows, args.width);
  };
  for (int32_t b = 0; b < args.count; ++b) {
    add_target(args.blocks[b].da, args.blocks[b].da_stride, args.rows);
    add_target(args.blocks[b].dk, args.blocks[b].dk_stride, args.blocks[b].keys);
  }
  for (int64_t i = 0; i < args.rows; ++i) {
    const Row row(args, i);
    args.loss[i] = static_cast<float>(row.loss());
    const double weight = args.weights ? args.weights[i] : args.weight;
    double dscale = 0;
    size_t key = 0;
    for (int32_t b = 0; b < args.count; ++b) {
      const ContrastiveBlock& block = args.blocks[b];
      for (int64_t j = 0; j < block.keys; ++j, ++key) {
        const double q = weight * row.gradient(key);
        if (q == 0) continue;
        dscale += q * row.product(key);
        if (block.da) sums_of(all, block.da).add(i, args.scale * q, block.k + j * block.k_stride);
        if (block.dk) sums_of(all, block.dk).add(j, args.scale * q, block.a + i * block.a_stride);
      }
    }
    if (args.dscale) args.dscale[i] = static_cast<float>(dscale);
  }
  for (Sums& sums : all) sums.finish();
}

}  // namespace

Status contrastive(Stream& stream, const ContrastiveArgs& args) {
  if (!can_run(stream, args)) return kBadArgument;
  try {
    run(args);
  } catch (const std::bad_alloc&) {
    return kOutOfMemory;
  }
  return kOk;
}

}  // namespace embedcore::reference
