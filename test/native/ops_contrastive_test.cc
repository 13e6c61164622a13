// ops/contrastive.h on every backend against the reference, and the reference against finite differences.
#include "contrastive_inputs.h"

namespace embedcore::test {
namespace {

class ContrastiveTest : public OpTest {};
EMBEDCORE_EVERY_BACKEND(ContrastiveTest);

double greatest(const Rows& rows) {
  double most = 0;
  for (int64_t i = 0; i < rows.rows(); ++i)
    for (int64_t d = 0; d < rows.width(); ++d) most = std::max(most, std::abs(static_cast<double>(rows.at(i, d))));
  return most;
}

// What float32 may change, from the sizes of all numbers.
struct Bounds {
  explicit Bounds(const ContrastiveInputs& inputs) : in(inputs) {
    const double n = static_cast<double>(in.spec.width);
    scale = static_cast<double>(in.spec.scale);
    for (const auto& [i, j] : in.spec.blocks) {
      const Rows &a = in.a[static_cast<size_t>(i)], &k = in.k[static_cast<size_t>(j)];
      keys += static_cast<double>(k.rows());
      most_a = std::max(most_a, greatest(a));
      most_k = std::max(most_k, greatest(k));
      for (int64_t row = 0; row < a.rows(); ++row)
        for (int64_t key = 0; key < k.rows(); ++key) {
          double sizes = 0;
          for (int64_t d = 0; d < in.spec.width; ++d)
            sizes += std::abs(static_cast<double>(a.at(row, d)) * k.at(key, d));
          product = std::max(product, sizes);
        }
    }
    // A product adds n terms, and its score takes two more operations.
    const double hardness = std::max(in.spec.own_hardness, in.spec.other_hardness);
    score = kUnit * (n + 3) * product * (scale + hardness);
    // exp is off by 3 u (cpu/math.h) and by twice the scores' error, the one of the greatest included; the sum adds up
    // to `keys` of them; four operations follow.
    share = 2 * std::expm1(2 * score) + kUnit * (keys + 10);
  }

  double loss(double value) const { return 2 * score + kUnit * (keys + 10) + 2 * kUnit * std::abs(value); }
  // q of one row: at most its weight for the positive, and as much for all other keys.
  double dscale(int64_t row) const { return 2 * in.weight(row) * product * (share + kUnit * (keys + in.spec.width)); }
  double da(int64_t row, double initial) const {
    return 2 * in.weight(row) * scale * most_k * (share + kUnit * (keys + 3)) + kUnit * (keys + 1) * std::abs(initial);
  }
  double dk(double initial) const {
    double weights = 0;
    for (int64_t row = 0; row < in.spec.rows; ++row) weights += in.weight(row);
    const double terms = static_cast<double>(in.spec.rows) * static_cast<double>(in.spec.blocks.size());
    return weights * scale * most_a * static_cast<double>(in.spec.blocks.size()) * (share + kUnit * (terms + 3)) +
           kUnit * (terms + 1) * std::abs(initial);
  }

  const ContrastiveInputs& in;
  double scale = 0, keys = 0, most_a = 0, most_k = 0, product = 0, score = 0, share = 0;
};

TEST_P(ContrastiveTest, AgreesWithReference) {
  EMBEDCORE_NEEDS(contrastive);
  for (const ContrastiveCase& c : cases(contrastive_cases())) {
    SCOPED_TRACE(name_of(c));
    const ContrastiveInputs inputs(c);
    const Bounds bounds(inputs);
    const ContrastiveResult got = inputs.run(backend()), wanted = inputs.run(reference_backend());
    expect_close(got.loss, wanted.loss, [&](int64_t row, int64_t) { return bounds.loss(wanted.loss.at(row, 0)); });
    expect_close(got.dscale, wanted.dscale, [&](int64_t row, int64_t) { return bounds.dscale(row); });
    for (size_t i = 0; i < got.da.size(); ++i)
      expect_close(got.da[i], wanted.da[i],
                   [&](int64_t row, int64_t d) { return bounds.da(row, inputs.da[i].at(row, d)); });
    for (size_t i = 0; i < got.dk.size(); ++i)
      expect_close(got.dk[i], wanted.dk[i], [&](int64_t row, int64_t d) { return bounds.dk(inputs.dk[i].at(row, d)); });
  }
}

void expect_same(const ContrastiveResult& part, const ContrastiveResult& all, int64_t begin) {
  expect_same_bits(part.loss, all.loss, begin);
  expect_same_bits(part.dscale, all.dscale, begin);
  for (size_t i = 0; i < part.da.size(); ++i) expect_same_bits(part.da[i], all.da[i], begin);
}

// A row alone, in any part and in any order of tasks; and the gradients of keys over calls that are cut anywhere.
TEST_P(ContrastiveTest, RowsMayBeCutAnywhereBitForBit) {
  EMBEDCORE_NEEDS(contrastive);
  for (const ContrastiveCase& c : cases(contrastive_cases())) {
    if (c.rows == 0) continue;
    SCOPED_TRACE(name_of(c));
    const ContrastiveInputs inputs(c);
    const ContrastiveResult all = inputs.run(backend());
    for (const Order order : {Order::kShuffled, Order::kThreads}) {
      const ContrastiveResult again = inputs.run(backend(), order);
      expect_same(again, all, 0);
      for (size_t i = 0; i < all.dk.size(); ++i) expect_same_bits(again.dk[i], all.dk[i]);
    }
    for (const int64_t cut : {int64_t{1}, c.rows / 3, c.rows / 2 + 1, c.rows - 1}) {
      if (cut <= 0 || cut >= c.rows) continue;
      const ContrastiveResult first = inputs.run(backend(), 0, cut);
      const ContrastiveResult rest = inputs.run(backend(), cut, c.rows, Order::kAscending, &first);
      expect_same(first, all, 0);
      expect_same(rest, all, cut);
      // The reference adds in double, and rounds once a call: here the first part, the rest, and all at once.
      const bool rounds_once = std::strcmp(backend().name, "reference-device") == 0;
      for (size_t i = 0; i < all.dk.size(); ++i)
        expect_close(rest.dk[i], all.dk[i], [&](int64_t key, int64_t d) {
          return rounds_once ? kUnit * (std::abs(first.dk[i].at(key, d)) + 2.1 * std::abs(all.dk[i].at(key, d))) : 0.0;
        });
    }
  }
}

// A positive that takes nearly all: the loss is what is left for the other keys, and has digits of its own.
TEST_P(ContrastiveTest, SmallLossesKeepTheirDigits) {
  EMBEDCORE_NEEDS(contrastive);
  Rows a(1, 1), k(2, 1), loss(1, 1), da(1, 1);
  a.at(0, 0) = 1, k.at(0, 0) = 16, k.at(1, 0) = -16, da.at(0, 0) = 0;
  const std::vector<int32_t> positive = {0};
  OpCall call(backend());
  const ContrastiveBlock block{.a = call.in(a),
                               .a_stride = 1,
                               .k = call.in(k),
                               .k_stride = 1,
                               .keys = 2,
                               .da = call.out(da),
                               .da_stride = 1,
                               .masks = {},
                               .own = {}};
  call.run(
      backend().contrastive,
      {.blocks = &block, .count = 1, .rows = 1, .width = 1, .positive = call.in(positive), .loss = call.out(loss)});
  const double left = std::exp(-32.0);  // 1.3e-14, of which 1 has no digits in float32
  EXPECT_NEAR(loss.at(0, 0), left, 5 * kUnit * left);
  EXPECT_NEAR(da.at(0, 0), -32 * left, 8 * kUnit * 32 * left);
}

// What a mask leaves out may be anything; a score that is not finite and counts spoils its row's loss.
TEST_P(ContrastiveTest, NonFiniteKeysAreSeenWhereTheyCount) {
  EMBEDCORE_NEEDS(contrastive);
  for (const float value : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    ContrastiveInputs inputs({.rows = 5, .width = 8, .keys = {40}, .masks = 1});
    for (size_t j = 0; j < 40; ++j) inputs.key_numbers[0][j] = j == 30 ? 7 : -1;
    for (size_t i = 0; i < 5; ++i) inputs.row_numbers[i] = i < 2 ? 7 : -1, inputs.positive[i] = static_cast<int32_t>(i);
    inputs.k[0].at(30, 3) = value;
    const ContrastiveResult result = inputs.run(backend());
    for (int64_t i = 0; i < 5; ++i) {
      const bool spoilt = std::isnan(value) || inputs.a[0].at(i, 3) > 0;  // an infinity below zero is no score
      EXPECT_EQ(std::isfinite(result.loss.at(i, 0)), i < 2 || !spoilt) << "row " << i << ", value " << value;
    }
  }
}

TEST(ContrastiveReference, GradientsAreFiniteDifferences) {
  for (ContrastiveCase c :
       {ContrastiveCase{4, 5, {9}, {{0, 0}}, 3, 1, 0, 0, 0, 0, 0, true},
        ContrastiveCase{3, 4, {6, 3}, kFourDirections, 2, 1, 0, 0, 0, 0, 1},
        ContrastiveCase{5, 3, {10, 5}, {{0, 0}, {0, 1}}, 2, 0, 0, 0, 1, 1, 0, true, 4, 0.5f + 1.0f / 32}}) {
    SCOPED_TRACE(name_of(c));
    ContrastiveInputs inputs(c);
    for (Rows& each : inputs.da) each.each([](float) { return 0.0f; });
    for (Rows& each : inputs.dk) each.each([](float) { return 0.0f; });
    const ContrastiveResult result = inputs.run(reference_backend());
    double rounding = 0;
    const auto loss = [&] {
      const ContrastiveResult now = inputs.run(reference_backend());
      double total = 0;
      for (int64_t i = 0; i < c.rows; ++i) total += inputs.weight(i) * static_cast<double>(now.loss.at(i, 0));
      return total;
    };
    for (int64_t i = 0; i < c.rows; ++i)
      rounding += kUnit * inputs.weight(i) * static_cast<double>(result.loss.at(i, 0));
    // Products of multiples of 1/4 are 1/32 or more from the limits, so these steps change no decision.
    const float step = c.margin ? 0x1p-8f : 0x1p-6f;
    for (size_t i = 0; i < inputs.a.size(); ++i) expect_differences(inputs.a[i], result.da[i], rounding, loss, step);
    for (size_t i = 0; i < inputs.k.size(); ++i) expect_differences(inputs.k[i], result.dk[i], rounding, loss, step);
    Rows scale(1, 1), dscale(1, 1);
    scale.at(0, 0) = c.scale;
    dscale.at(0, 0) = 0;
    for (int64_t i = 0; i < c.rows; ++i) dscale.at(0, 0) += result.dscale.at(i, 0);
    expect_differences(scale, dscale, rounding, [&] {
      inputs.spec.scale = scale.at(0, 0);
      return loss();
    });
  }
}

// The hardness counts in the scores and has no gradient: of the loss with the factors kept as they are.
TEST(ContrastiveReference, HardnessIsAFixedAddition) {
  const ContrastiveCase c{4, 6, {11}, {{0, 0}}, 3, 0, 2, 1};
  ContrastiveInputs inputs(c);
  inputs.da[0].each([](float) { return 0.0f; });
  const ContrastiveResult result = inputs.run(reference_backend());
  for (int64_t i = 0; i < c.rows; ++i) {
    std::vector<double> products, scores;
    double total = 0;
    const auto positive = static_cast<size_t>(inputs.positive[static_cast<size_t>(i)]);
    for (int64_t j = 0; j < 11; ++j) {
      double product = 0;
      for (int64_t d = 0; d < 6; ++d) product += static_cast<double>(inputs.a[0].at(i, d)) * inputs.k[0].at(j, d);
      const int32_t row = inputs.own_rows[static_cast<size_t>(i)], key = inputs.own_keys[0][static_cast<size_t>(j)];
      const double hardness = static_cast<size_t>(j) == positive ? 0 : row >= 0 && row == key ? 2 : 1;
      scores.push_back((3 + hardness) * product);
      total += std::exp(scores.back());
    }
    EXPECT_NEAR(result.loss.at(i, 0), std::log(total) - scores[positive], 2 * kUnit * (1 + std::log(total)));
    for (int64_t d = 0; d < 6; ++d) {
      double da = 0;
      for (size_t j = 0; j < 11; ++j)
        da += 0.5 * 3 * (std::exp(scores[j]) / total - (j == positive ? 1 : 0)) *
              inputs.k[0].at(static_cast<int64_t>(j), d);
      EXPECT_NEAR(result.da[0].at(i, d), da, 1e-6) << "a few roundings of numbers around 1";
    }
  }
}

}  // namespace
}  // namespace embedcore::test
