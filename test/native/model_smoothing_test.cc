// model/smoothing.h: the sizes of inputs, their divisors, and the texts for measuring them.
#include "model/smoothing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

namespace embedcore {
namespace {

using Floats = std::vector<float>;
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN(), kInfinity = std::numeric_limits<float>::infinity();

// Of one row the root mean squares are the magnitudes.
InputScales sizes_of(const Floats& row) {
  InputScales sizes;
  sizes.add(row.data(), static_cast<int64_t>(row.size()), 1, static_cast<int64_t>(row.size()));
  return sizes;
}

// A few float32 operations each, and a logarithm and a power.
void expect_floats(const Floats& got, const Floats& wanted) {
  ASSERT_EQ(got.size(), wanted.size());
  for (size_t i = 0; i < wanted.size(); ++i) EXPECT_NEAR(got[i], wanted[i], 1e-6f * wanted[i]) << "channel " << i;
}

void expect_usable(const Floats& divisors) {
  double logarithms = 0;
  for (const float divisor : divisors) {
    ASSERT_GT(divisor, 0);
    ASSERT_LT(divisor, kInfinity);
    logarithms += std::log(static_cast<double>(divisor));
  }
  EXPECT_NEAR(logarithms / static_cast<double>(divisors.size()), 0, 1e-6);
}

TEST(InputScales, RootMeanSquaresOverAllRowsOfAllCalls) {
  InputScales sizes;
  // The values in the gaps do not belong to the matrix.
  const Floats first = {3, 0, 1e30f, kNaN, kNaN, /**/ -3, 4, -1e30f};
  sizes.add(first.data(), 5, 2, 3);
  sizes.add(first.data(), 5, 0, 3);
  const Floats second = {3, 0, 1e30f}, third = {-3, 0, 1e30f, kInfinity};
  sizes.add(second.data(), 3, 1, 3);
  sizes.add(third.data(), 4, 1, 3);
  expect_floats(sizes.root_mean_squares(), {3, 2, 1e30f});
}

TEST(InputScales, WithoutRowsAreZeros) {
  InputScales sizes;
  EXPECT_EQ(sizes.root_mean_squares(), Floats());
  sizes.add(nullptr, 4, 0, 3);
  EXPECT_EQ(sizes.root_mean_squares(), Floats(3, 0.0f));
}

TEST(InputScales, AreNotFiniteWhereAnInputIsNot) {
  InputScales sizes = sizes_of({1, kNaN, kInfinity});
  const Floats more = {1, 1, 1};
  sizes.add(more.data(), 3, 1, 3);
  const Floats got = sizes.root_mean_squares();
  EXPECT_EQ(got[0], 1);
  EXPECT_TRUE(std::isnan(got[1]));
  EXPECT_EQ(got[2], kInfinity);
}

// Roots of size / greatest weight, whatever the signs: 2 and 1/2, then 4, 1 and 1/2 over their mean, the cube root
// of 2.
TEST(Smoothing, RootsOfSizesOverWeightsWithAMeanOfOne) {
  expect_floats(smoothing(sizes_of({4, 1}), {1, 4}), {2, 0.5f});
  expect_floats(smoothing(sizes_of({4, -1}), {0.5f, -4, /**/ -1, 0, /**/ 0, 3}), {2, 0.5f});
  const float mean = std::cbrt(2.0f);
  expect_floats(smoothing(sizes_of({16, 3, 1}), {1, 3, 4}), {4 / mean, 1 / mean, 0.5f / mean});
  expect_floats(smoothing(sizes_of({5}), {7}), {1});
}

TEST(Smoothing, HowLargeAllOfThemAreChangesNothing) {
  const Floats sizes = {4, 1, 0.3f, 20}, weight = {1, 4, 2, 0.1f}, wanted = smoothing(sizes_of(sizes), weight);
  expect_usable(wanted);
  for (const float factor : {1e-12f, 1e-3f, 100.0f, 1e12f}) {
    Floats more = sizes, heavier = weight;
    for (float& size : more) size *= factor;
    for (float& value : heavier) value *= factor;
    expect_floats(smoothing(sizes_of(more), weight), wanted);
    expect_floats(smoothing(sizes_of(sizes), heavier), wanted);
  }
}

// They count as a thousandth of the greatest: sqrt(1000) apart with a mean of 1.
TEST(Smoothing, SilentChannelsAndMissingWeightsHaveAFloor) {
  const float root = std::pow(10.0f, 0.75f);
  expect_floats(smoothing(sizes_of({1, 0}), {1, 1}), {root, 1 / root});
  expect_floats(smoothing(sizes_of({1, 1e-6f}), {1, 1}), {root, 1 / root});
  expect_floats(smoothing(sizes_of({5, 5}), {2, 0}), {1 / root, root});
  expect_floats(smoothing(sizes_of({0, 5}), {0, 2}), {1, 1});
  expect_floats(smoothing(sizes_of({0, 5}), {2, 0}), {1 / (root * root), root * root});
}

TEST(Smoothing, NothingToGoByGivesOnes) {
  EXPECT_EQ(smoothing(sizes_of({0, 0, 0}), {1, 2, 3}), Floats(3, 1.0f));
  EXPECT_EQ(smoothing(sizes_of({1, 2, 3}), {0, 0, 0}), Floats(3, 1.0f));
  EXPECT_EQ(smoothing(sizes_of({0, 0, 0}), {0, 0, 0}), Floats(3, 1.0f));
}

TEST(Smoothing, SizesThatAreNotFiniteGiveOnes) {
  for (const float spoiled : {kNaN, kInfinity, -kInfinity}) {
    for (size_t at = 0; at < 3; ++at) {
      Floats sizes = {2, 1, 3};
      sizes[at] = spoiled;
      EXPECT_EQ(smoothing(sizes_of(sizes), {1, 2, 3}), Floats(3, 1.0f)) << spoiled << " at " << at;
    }
    EXPECT_EQ(smoothing(sizes_of({spoiled, spoiled, spoiled}), {1, 2, 3}), Floats(3, 1.0f)) << spoiled;
  }
  EXPECT_EQ(smoothing(sizes_of({kInfinity, kNaN, 0}), {1, 2, 3}), Floats(3, 1.0f));
}

// One channel as different as possible from many equal ones: no factor is above 1000 or below 1/1000.
TEST(Smoothing, StaysWithinAThousandth) {
  constexpr size_t kChannels = 4096;
  Floats loud(kChannels, 0.0f), light(kChannels, 1.0f);
  loud[7] = 1e20f;
  light[7] = 0;
  const Floats most = smoothing(sizes_of(loud), light);
  expect_usable(most);
  EXPECT_GT(most[7], 900);
  Floats silent(kChannels, 1.0f), heavy(kChannels, 0.0f);
  silent[7] = 0;
  heavy[7] = 1e20f;
  const Floats least = smoothing(sizes_of(silent), heavy);
  expect_usable(least);
  EXPECT_LT(least[7], 1 / 900.0f);
  for (const Floats& divisors : {most, least}) {
    EXPECT_LE(*std::max_element(divisors.begin(), divisors.end()), 1000.0f);
    EXPECT_GE(*std::min_element(divisors.begin(), divisors.end()), 1 / 1000.0f);
  }
}

void expect_well_formed(const CalibrationTexts& texts, int64_t vocab) {
  const size_t count = texts.zeros.size();
  ASSERT_GT(count, 0u);
  EXPECT_EQ(texts.zeros, std::vector<int32_t>(count, 0));
  ASSERT_EQ(texts.offsets.size(), count + 1);
  EXPECT_EQ(texts.offsets.front(), 0);
  EXPECT_EQ(static_cast<size_t>(texts.offsets.back()), texts.ids.size());
  for (size_t text = 0; text < count; ++text)
    EXPECT_EQ(texts.offsets[text + 1] - texts.offsets[text], texts.longest) << "text " << text;
  for (const int32_t id : texts.ids) ASSERT_TRUE(id >= 0 && id < vocab) << id << " of " << vocab;
}

TEST(CalibrationTexts, AreOfTheVocabulary) {
  for (const int64_t vocab :
       {int64_t{1}, int64_t{2}, int64_t{3}, int64_t{60}, int64_t{30522}, int64_t{250002}, int64_t{INT32_MAX}}) {
    SCOPED_TRACE(vocab);
    expect_well_formed(CalibrationTexts(vocab, 512), vocab);
  }
  const CalibrationTexts one(1, 0);
  EXPECT_EQ(one.ids, std::vector<int32_t>(one.ids.size(), 0));
}

// From the whole vocabulary: with this number of draws, it would not be an accident if all came from one half or a
// quarter of them were repeated.
TEST(CalibrationTexts, AreDrawnFromAllOfIt) {
  constexpr int64_t kVocab = 30522;
  const CalibrationTexts texts(kVocab, 0);
  const std::set<int32_t> different(texts.ids.begin(), texts.ids.end());
  EXPECT_GT(different.size(), texts.ids.size() * 3 / 4);
  const auto low = std::count_if(texts.ids.begin(), texts.ids.end(), [](int32_t id) { return id < kVocab / 2; });
  EXPECT_GT(low, static_cast<int64_t>(texts.ids.size()) / 4);
  EXPECT_LT(low, static_cast<int64_t>(texts.ids.size()) * 3 / 4);
}

TEST(CalibrationTexts, AreTheSameEveryTime) {
  for (const int64_t most : {0, 5, 512}) {
    const CalibrationTexts once(30522, most), again(30522, most);
    EXPECT_EQ(once.ids, again.ids);
    EXPECT_EQ(once.offsets, again.offsets);
    EXPECT_EQ(once.longest, again.longest);
  }
}

TEST(CalibrationTexts, AreNoLongerThanTheModelTakes) {
  const int64_t longest = CalibrationTexts(100, 0).longest;
  ASSERT_GT(longest, 2);
  for (const int64_t most : {int64_t{1}, int64_t{2}, longest - 1, longest, longest + 1, int64_t{8192}}) {
    SCOPED_TRACE(most);
    const CalibrationTexts texts(100, most);
    expect_well_formed(texts, 100);
    EXPECT_EQ(texts.longest, std::min(most, longest));
  }
}

}  // namespace
}  // namespace embedcore
