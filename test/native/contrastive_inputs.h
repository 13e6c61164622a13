// Cases of ops/contrastive.h: blocks of scores over a few matrices of rows and of keys, which blocks may share.
#pragma once

#include <sstream>

#include "gradient_check.h"
#include "ops/contrastive.h"

namespace embedcore::test {

struct ContrastiveCase {
  int64_t rows, width;
  std::vector<int64_t> keys;                           // of each matrix of keys
  std::vector<std::pair<int, int>> blocks = {{0, 0}};  // matrices of rows and of keys
  float scale = 20;
  int masks = 0;
  float own_hardness = 0, other_hardness = 0;
  int margin = 0, guide = 0;  // 1: absolute, 2: relative
  int64_t gap = 0;
  bool weights = false;
  int grain = 16;      // of exact numbers: multiples of 1 / grain
  float limit = 0.5f;  // the margin
};

inline double cost_of(const ContrastiveCase& c) {
  double keys = 0;
  for (const auto& [a, k] : c.blocks) keys += static_cast<double>(c.keys[static_cast<size_t>(k)]);
  return 3 * static_cast<double>(c.rows * c.width) * keys;
}

inline std::string name_of(const ContrastiveCase& c) {
  std::ostringstream text;
  text << "contrastive rows " << c.rows << ", width " << c.width << ", keys";
  for (const auto& [a, k] : c.blocks) text << ' ' << c.keys[static_cast<size_t>(k)];
  text << ", scale " << c.scale << ", masks " << c.masks << ", hardness " << c.own_hardness << ' ' << c.other_hardness
       << ", margin " << c.margin << ", guide " << c.guide << ", gap " << c.gap << (c.weights ? ", weights" : "");
  return text.str();
}

// GTE's four directions: queries and documents are rows and keys.
inline const std::vector<std::pair<int, int>> kFourDirections = {{0, 0}, {0, 1}, {1, 1}, {1, 0}};

inline const std::vector<ContrastiveCase>& contrastive_cases() {
  static const std::vector<ContrastiveCase> cases = {
      {1, 1, {1}},
      {2, 5, {2}},
      {32, 384, {32}},
      {7, 17, {15}, {{0, 0}}, 20, 1, 0, 0, 0, 0, 3, true},
      {6, 16, {64}, {{0, 0}}, 5, 0, 3, 0},
      {13, 33, {65}, {{0, 0}}, 5, 2, 0, 4, 0, 0, 1, true},
      {25, 31, {129}, {{0, 0}}, 10, 4, 2, 5},
      {241, 40, {300}},
      {50, 513, {70}, {{0, 0}}, 30},
      {250, 8, {600}, {{0, 0}}, 20, 3, 0, 0, 0, 0, 2, true},
      {12, 100, {36, 12}, kFourDirections, 20, 1},
      {245, 20, {250, 245}, kFourDirections, 10, 2, 1, 0, 0, 0, 1, true},
      {9, 24, {11, 0, 40}, {{0, 0}, {1, 1}, {0, 2}}, 15},
      // margins and guides, of numbers whose products are exact
      {20, 24, {40}, {{0, 0}}, 0.5f, 0, 0, 0, 1},
      {20, 24, {40}, {{0, 0}}, 0.5f, 1, 0, 0, 2},
      {33, 64, {66, 33}, kFourDirections, 0.25f, 1, 0, 0, 0, 1},
      {17, 40, {34, 17}, {{0, 0}, {0, 1}, {1, 0}}, 0.25f, 0, 1, 2, 1, 2, 3, true},
      // one key takes all, which leaves the others digits of their own; scores too far below to count
      {10, 16, {30}, {{0, 0}}, 300},
      {0, 8, {4}},
  };
  return cases;
}

struct ContrastiveResult {
  Rows loss, dscale;
  std::vector<Rows> da, dk;  // of each matrix
};

class ContrastiveInputs {
 public:
  explicit ContrastiveInputs(const ContrastiveCase& c) : spec(c), weights(c.rows, 1) {
    Random random(static_cast<uint32_t>(c.rows * 31 + c.width + c.keys[0]));
    const bool exact = c.margin || c.guide;
    int matrices = 0;
    for (const auto& block : c.blocks) matrices = std::max(matrices, block.first + 1);
    for (int i = 0; i < matrices; ++i) {
      a.push_back(numbers(random, c.rows, c.width, c.gap, exact ? c.grain : 0));
      guide_a.push_back(numbers(random, c.rows, kGuide, 1, 16));
      da.push_back(std::move(Rows(c.rows, c.width, c.gap + 1).fill(random)));
    }
    for (const int64_t keys : c.keys) {
      k.push_back(numbers(random, keys, c.width, c.gap + 2, exact ? c.grain : 0));
      guide_k.push_back(numbers(random, keys, kGuide, 0, 16));
      dk.push_back(std::move(Rows(keys, c.width, c.gap).fill(random)));
      key_numbers.push_back(integers(random, keys * kMostKeyMasks, 5));
      own_keys.push_back(integers(random, keys, c.rows + 1));
    }
    row_numbers = integers(random, c.rows * kMostKeyMasks, 5);
    own_rows = integers(random, c.rows, c.rows + 1);
    for (int64_t i = 0; i < c.rows; ++i) positive.push_back(static_cast<int32_t>(random.integer(c.keys[0])));
    weights.fill(random, 0, 2);
  }

  // Rows begin .. end, whose gradients are added to those of `into`, or to the initial ones.
  ContrastiveResult run(const Backend& backend, int64_t begin, int64_t end, Order order = Order::kAscending,
                        const ContrastiveResult* into = nullptr) const {
    ContrastiveResult result{Rows(end - begin, 1), Rows(end - begin, 1), {}, {}};
    for (const Rows& each : da) {
      result.da.emplace_back(end - begin, spec.width, spec.gap + 1);
      for (int64_t row = begin; row < end; ++row)
        std::copy_n(each.data(row), spec.width, result.da.back().data(row - begin));
    }
    for (const Rows& each : into ? into->dk : dk) result.dk.push_back(each);
    OpCall call(backend, order);
    std::vector<float*> das, dks;
    for (Rows& each : result.da) das.push_back(call.out(each));
    for (Rows& each : result.dk) dks.push_back(call.out(each));
    std::vector<ContrastiveBlock> blocks;
    for (const auto& [i, j] : spec.blocks) {
      const auto of_a = static_cast<size_t>(i), of_k = static_cast<size_t>(j);
      ContrastiveBlock& block = blocks.emplace_back(ContrastiveBlock{.a = call.in(a[of_a], begin),
                                                                     .a_stride = a[of_a].stride(),
                                                                     .k = call.in(k[of_k]),
                                                                     .k_stride = k[of_k].stride(),
                                                                     .keys = spec.keys[of_k],
                                                                     .da = das[of_a],
                                                                     .da_stride = result.da[of_a].stride(),
                                                                     .dk = dks[of_k],
                                                                     .dk_stride = result.dk[of_k].stride(),
                                                                     .masks = {},
                                                                     .own = {}});
      for (int m = 0; m < spec.masks; ++m)
        block.masks[m] = {call.in(row_numbers, m * spec.rows + begin), call.in(key_numbers[of_k], m * block.keys)};
      if (spec.own_hardness != spec.other_hardness) block.own = {call.in(own_rows, begin), call.in(own_keys[of_k])};
      block.own_hardness = spec.own_hardness;
      block.other_hardness = spec.other_hardness;
      if (!spec.guide || blocks.size() == 3) continue;  // not every block has one
      block.guide_a = call.in(guide_a[of_a], begin);
      block.guide_a_stride = guide_a[of_a].stride();
      block.guide_k = call.in(guide_k[of_k]);
      block.guide_k_stride = guide_k[of_k].stride();
    }
    call.run(backend.contrastive, {.blocks = blocks.data(),
                                   .count = static_cast<int32_t>(blocks.size()),
                                   .rows = end - begin,
                                   .width = spec.width,
                                   .scale = spec.scale,
                                   .positive = call.in(positive, begin),
                                   .weights = spec.weights ? call.in(weights, begin) : nullptr,
                                   .weight = 0.5f,
                                   .has_margin = spec.margin > 0,
                                   .relative_margin = spec.margin == 2,
                                   .margin = spec.limit,
                                   .guide_width = kGuide,
                                   .relative_guide_margin = spec.guide == 2,
                                   .guide_margin = -0.25f,
                                   .loss = call.out(result.loss),
                                   .dscale = call.out(result.dscale)});
    return result;
  }
  ContrastiveResult run(const Backend& backend, Order order = Order::kAscending) const {
    return run(backend, 0, spec.rows, order);
  }

  double weight(int64_t row) const { return spec.weights ? static_cast<double>(weights.at(row, 0)) : 0.5; }

  ContrastiveCase spec;
  std::vector<Rows> a, k, guide_a, guide_k, da, dk;
  Rows weights;
  std::vector<std::vector<int32_t>> key_numbers, own_keys;
  std::vector<int32_t> row_numbers, own_rows, positive;

 private:
  static constexpr int64_t kGuide = 12;

  // Of about unit length; or multiples of 1 / grain up to 1, so that their products and sums are exact.
  static Rows numbers(Random& random, int64_t rows, int64_t width, int64_t gap, int grain) {
    const double size = std::sqrt(3 / static_cast<double>(width));
    Rows list(rows, width, gap);
    list.each([&](float) {
      if (grain == 0) return random.value(-size, size);
      return static_cast<float>(random.integer(2 * grain + 1) - grain) / static_cast<float>(grain);
    });
    return list;
  }
  // Some are negative: they match nothing.
  static std::vector<int32_t> integers(Random& random, int64_t count, int64_t below) {
    std::vector<int32_t> list;
    for (int64_t i = 0; i < count; ++i) list.push_back(static_cast<int32_t>(random.integer(below + 1)) - 1);
    return list;
  }
};

}  // namespace embedcore::test
