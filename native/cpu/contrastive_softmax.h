// The softmax of one row of ops/contrastive.h: products with all keys become gradients of the scores, in place.
#pragma once

#include <cmath>
#include <limits>

#include "cpu/math.h"
#include "ops/contrastive.h"

namespace embedcore::cpu::EMBEDCORE_ISA {

// Where the products of the blocks lie in a row: each block begins with a whole vector.
struct ScoreColumns {
  int64_t begin[kMostContrastiveBlocks];
  int64_t total = 0;

  explicit ScoreColumns(const ContrastiveArgs& args) {
    for (int32_t b = 0; b < args.count; ++b) {
      begin[b] = total;
      total += round_up(args.blocks[b].keys, kWidth);
    }
  }
};

class ContrastiveRow {
 public:
  // scores: the row's products, columns.total of them; guide: those of the guide where a block has one, or null.
  ContrastiveRow(const ContrastiveArgs& args, const ScoreColumns& columns, int64_t row, float* scores,
                 const float* guide)
      : args_(args), columns_(columns), row_(row), positive_(args.positive[row]), scores_(scores), guide_(guide) {}

  // Writes loss and dscale; scores become scale q.
  void run() {
    const float product = scores_[positive_], score = args_.scale * product;
    limit_ = limit_of(product, args_.relative_margin, args_.margin);
    if (guide_) guide_limit_ = limit_of(guide_[positive_], args_.relative_guide_margin, args_.guide_margin);
    for (int32_t b = 0; b < args_.count; ++b) score_block(b);
    scores_[positive_] = kLeftOut;  // kept apart: where it takes nearly all, the others keep their digits

    Vec most = broadcast(kLeftOut);
    for (int64_t i = 0; i < columns_.total; i += kWidth) most = maximum(most, load(scores_ + i));
    const float top = std::max(max_lanes(most), score);
    const double others = exponentials(top);
    const double ahead = static_cast<double>(top) - score, total = others + std::exp(-ahead);
    args_.loss[row_] = static_cast<float>(ahead == 0 ? std::log1p(others) : ahead + std::log(total));

    const double weight = (args_.weights ? args_.weights[row_] : args_.weight) / total;
    if (args_.dscale) args_.dscale[row_] = static_cast<float>(weight * (products_ - others * product));
    const float factor = static_cast<float>(weight * args_.scale);
    for (int64_t i = 0; i < columns_.total; i += kWidth) store(scores_ + i, load(scores_ + i) * broadcast(factor));
    scores_[positive_] = static_cast<float>(-weight * args_.scale * others);
  }

 private:
  static constexpr float kLeftOut = -std::numeric_limits<float>::infinity();
  static constexpr int32_t kLanes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

  static float limit_of(float positive, bool relative, float margin) {
    return positive - (relative ? std::abs(positive) : 1.0f) * margin;
  }

  // Numbers of keys, to be compared with the row's; lanes beyond the keys are negative.
  static IntVec load_numbers(const int32_t* from, int64_t n) {
    if (n >= kWidth) return load_words(from);
    int32_t lanes[kWidth];
    for (int i = 0; i < kWidth; ++i) lanes[i] = i < n ? from[i] : -1;
    return load_words(lanes);
  }

  // The factor of the products with keys j .. of a block in its scores.
  Vec factor_at(const ContrastiveBlock& block, int64_t j) const {
    const Vec other = broadcast(args_.scale + block.other_hardness);
    if (!block.own.rows || block.own_hardness == block.other_hardness || block.own.rows[row_] < 0) return other;
    const IntVec own = load_numbers(block.own.keys + j, block.keys - j) == broadcast(block.own.rows[row_]);
    return own ? broadcast(args_.scale + block.own_hardness) : other;
  }

  void score_block(int32_t b) {
    const ContrastiveBlock& block = args_.blocks[b];
    float* scores = scores_ + columns_.begin[b];
    const float* guide = block.guide_a ? guide_ + columns_.begin[b] : nullptr;
    const KeyMatch* masks[kMostKeyMasks];
    int count = 0;
    for (const KeyMatch& mask : block.masks)
      if (mask.rows && mask.rows[row_] >= 0) masks[count++] = &mask;
    for (int64_t j = 0; j < block.keys; j += kWidth) {
      const int64_t left = block.keys - j;
      const Vec product = load(scores + j);
      IntVec out = load_words(kLanes) >= broadcast(static_cast<int32_t>(std::min<int64_t>(left, kWidth)));
      for (int i = 0; i < count; ++i) out |= load_numbers(masks[i]->keys + j, left) == broadcast(masks[i]->rows[row_]);
      if (args_.has_margin) out |= product > broadcast(limit_);
      if (guide) out |= load(guide + j) > broadcast(guide_limit_);
      store(scores + j, out ? broadcast(kLeftOut) : product * factor_at(block, j));
    }
  }

  // exp(score - top) in place of each score, and their sum; products_ is the sum of them times the products.
  double exponentials(float top) {
    Vec sum = {}, products = {};
    for (int32_t b = 0; b < args_.count; ++b) {
      const ContrastiveBlock& block = args_.blocks[b];
      float* scores = scores_ + columns_.begin[b];
      for (int64_t j = 0; j < block.keys; j += kWidth) {
        const Vec score = load(scores + j), below = score - broadcast(top);
        const IntVec none = below < broadcast(-87.0f);  // where exp is clamped; also what is left out
        const Vec value = none ? Vec{} : exp(below);
        store(scores + j, value);
        sum += value;
        if (args_.dscale) products += none ? Vec{} : value * (score / factor_at(block, j));
      }
    }
    products_ = sum_lanes(products);
    return sum_lanes(sum);
  }

  const ContrastiveArgs& args_;
  const ScoreColumns& columns_;
  const int64_t row_, positive_;
  float* scores_;
  const float* guide_;
  float limit_ = 0, guide_limit_ = 0;
  double products_ = 0;
};

}  // namespace embedcore::cpu::EMBEDCORE_ISA
