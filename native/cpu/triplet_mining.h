// The mining of one row of ops/triplet.h: distances become derivatives of the row's terms, in place.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "cpu/simd.h"
#include "ops/triplet.h"

namespace embedcore::cpu::EMBEDCORE_ISA {

struct MinedTerms {
  double loss = 0, count = 0;
};

class RowMiner {
 public:
  // Floats of scratch memory.
  static int64_t scratch_floats(int64_t rows) { return 3 * round_up(rows, kWidth); }

  // distances: to all rows, zeros beyond them up to a whole vector. They become the derivatives of the terms' sum by
  // the distances; of a Euclidean distance, divided by it.
  RowMiner(const TripletArgs& args, int64_t row, float* distances, float* scratch)
      : args_(args),
        row_(row),
        label_(args.labels[row]),
        padded_(round_up(args.rows, kWidth)),
        d_(distances),
        negative_(scratch),
        slope_(scratch + padded_),
        index_(reinterpret_cast<int32_t*>(scratch + 2 * padded_)) {}

  MinedTerms run() {
    switch (args_.mining) {
      case TripletMining::kBatchHard: return batch_hard();
      case TripletMining::kBatchAll: return batch_all();
      case TripletMining::kSemiHard: return semi_hard();
    }
    return {};
  }

 private:
  static constexpr float kInfinity = std::numeric_limits<float>::infinity();
  static constexpr float kLeastTerm = 1e-16f;

  // Labels j ..; beyond the rows the row's own, which is that of no negative.
  IntVec labels(int64_t j) const {
    if (j + kWidth <= args_.rows) return load_words(args_.labels + j);
    int32_t lanes[kWidth];
    for (int64_t i = 0; i < kWidth; ++i) lanes[i] = j + i < args_.rows ? args_.labels[j + i] : label_;
    return load_words(lanes);
  }
  float ratio(double derivative, float distance) const {
    if (args_.distance == Distance::kCosine) return static_cast<float>(derivative);
    return distance > 0 ? static_cast<float>(derivative / distance) : 0.0f;
  }
  // The first element with this value, which is there.
  static int64_t find(const float* list, float value) {
    int64_t i = 0;
    while (list[i] != value) ++i;
    return i;
  }

  MinedTerms batch_hard() {
    Vec hardest = {}, nearest = broadcast(kInfinity), farthest = {};
    for (int64_t j = 0; j < padded_; j += kWidth) {
      const Vec d = load(d_ + j);
      const IntVec is_own = labels(j) == broadcast(label_);
      hardest = maximum(hardest, is_own ? d : Vec{});
      nearest = minimum(nearest, is_own ? broadcast(kInfinity) : d);
      farthest = maximum(farthest, d);
    }
    const float positive = std::max(max_lanes(hardest), 0.0f), least = min_lanes(nearest);
    const float negative = least < kInfinity ? least : std::max(max_lanes(farthest), 0.0f);
    const double z = static_cast<double>(positive) - negative, h = z + args_.margin;
    MinedTerms terms{
        .loss = args_.soft_margin ? std::max(z, 0.0) + std::log1p(std::exp(-std::abs(z))) : std::max(h, 0.0),
        .count = 1};
    const double slope = args_.soft_margin ? 1 / (1 + std::exp(-z)) : h > 0 ? 1 : 0;
    const int64_t p = positive > 0 ? find_with_label(positive, true) : -1;
    const int64_t n = least < kInfinity ? find_with_label(least, false) : negative > 0 ? find(d_, negative) : -1;
    clear();
    if (slope == 0) return terms;
    if (p >= 0) d_[p] += ratio(slope, positive);
    if (n >= 0) d_[n] -= ratio(slope, negative);
    return terms;
  }
  int64_t find_with_label(float value, bool own) const {
    int64_t i = 0;
    while (d_[i] != value || (args_.labels[i] == label_) != own) ++i;
    return i;
  }

  // Distances and indices of the negatives, slopes of zero; vectors end with infinite distances. Their number.
  int64_t gather_negatives() {
    int64_t count = 0;
    for (int64_t j = 0; j < args_.rows; ++j) {
      if (args_.labels[j] == label_) continue;
      negative_[count] = d_[j];
      index_[count++] = static_cast<int32_t>(j);
    }
    const int64_t end = round_up(count, kWidth);
    for (int64_t i = count; i < end; ++i) negative_[i] = kInfinity;
    for (int64_t i = 0; i < end; ++i) slope_[i] = 0;
    return count;
  }
  bool is_positive(int64_t j) const { return j != row_ && args_.labels[j] == label_; }
  bool has_positive() const {
    for (int64_t j = 0; j < args_.rows; ++j)
      if (is_positive(j)) return true;
    return false;
  }
  // Slopes of the negatives into their places. Those of positives are there, and the row's own distance is 0.
  void scatter_negatives(int64_t count) {
    for (int64_t i = 0; i < count; ++i) d_[index_[i]] = ratio(slope_[i], negative_[i]);
  }

  MinedTerms batch_all() {
    MinedTerms terms;
    if (!has_positive()) return leave_out();
    const int64_t count = gather_negatives();
    const Vec one = broadcast(1.0f), least = broadcast(kLeastTerm), margin = broadcast(args_.margin);
    for (int64_t p = 0; p < args_.rows; ++p) {
      if (!is_positive(p)) continue;
      const Vec positive = broadcast(d_[p]);
      Vec sum = {}, number = {};
      for (int64_t i = 0; i < count; i += kWidth) {
        const Vec h = positive - load(negative_ + i) + margin;
        const IntVec counts = h > least;
        const Vec each = counts ? one : Vec{};
        sum += counts ? h : Vec{};
        number += each;
        store(slope_ + i, load(slope_ + i) - each);
      }
      const double counted = sum_lanes(number);
      terms.loss += sum_lanes(sum);
      terms.count += counted;
      d_[p] = ratio(counted, d_[p]);
    }
    scatter_negatives(count);
    return terms;
  }

  MinedTerms semi_hard() {
    MinedTerms terms;
    if (!has_positive()) return leave_out();
    const int64_t count = gather_negatives();
    float farthest = 0;
    for (int64_t i = 0; i < count; ++i) farthest = i == 0 || negative_[i] > farthest ? negative_[i] : farthest;
    for (int64_t p = 0; p < args_.rows; ++p) {
      if (!is_positive(p)) continue;
      const Vec positive = broadcast(d_[p]), none = broadcast(kInfinity);
      Vec nearest = none;
      for (int64_t i = 0; i < count; i += kWidth) {
        const Vec d = load(negative_ + i);
        nearest = minimum(nearest, d > positive ? d : none);
      }
      const float least = min_lanes(nearest), negative = least < kInfinity ? least : farthest;
      const double h = static_cast<double>(d_[p]) - negative + args_.margin;
      ++terms.count;
      if (h > 0) {
        terms.loss += h;
        if (count > 0) slope_[find(negative_, negative)] -= 1;
      }
      d_[p] = h > 0 ? ratio(1, d_[p]) : 0.0f;
    }
    scatter_negatives(count);
    return terms;
  }

  void clear() {
    for (int64_t j = 0; j < padded_; ++j) d_[j] = 0;
  }
  MinedTerms leave_out() {
    clear();
    return {};
  }

  const TripletArgs& args_;
  const int64_t row_;
  const int32_t label_;
  const int64_t padded_;
  float *d_, *negative_, *slope_;
  int32_t* index_;
};

}  // namespace embedcore::cpu::EMBEDCORE_ISA
