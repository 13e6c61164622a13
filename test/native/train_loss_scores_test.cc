// train/loss_scores.h: losses of scores against their formulas, pair by pair, and finite differences.
#include "train/loss_scores.h"

#include <cmath>
#include <functional>

#include "op_rows.h"

namespace embedcore::test {
namespace {

using List = std::vector<float>;
using Loss = std::function<ScoreLoss(Scores)>;

// Central differences in float64, but of float32 scores: their error is that of the second step's third order, plus the
// rounding of the losses over the step.
void expect_differences(const List& scores, const Loss& loss, double step = 0x1p-8) {
  const ScoreLoss result = loss(scores);
  ASSERT_EQ(result.dscores.size(), scores.size());
  double size = 0;
  for (size_t i = 0; i < scores.size(); ++i) {
    const auto slope = [&](double distance) {
      List moved = scores;
      moved[i] = static_cast<float>(scores[i] + distance);
      const double high = moved[i], above = loss(moved).loss;
      moved[i] = static_cast<float>(scores[i] - distance);
      return (above - loss(moved).loss) / (high - static_cast<double>(moved[i]));
    };
    const double near = slope(step), far = slope(2 * step);
    EXPECT_NEAR(result.dscores[i], near, std::abs(near - far) + 1e-10 * (1 + std::abs(result.loss) / step))
        << "score " << i;
    size += std::abs(result.dscores[i]);
  }
  EXPECT_GT(size, 0.01);
}

List random_scores(size_t count, double low, double high, uint32_t seed = 5) {
  Random random(seed);
  List list;
  for (size_t i = 0; i < count; ++i) list.push_back(random.value(low, high));
  return list;
}

const List kLabels = {0.5f, 0.25f, 1, 0, 0.25f, 0.75f, 1, 0.5f, 0, 0.25f};

TEST(ScoreLosses, DerivativesAreFiniteDifferences) {
  const List cosines = random_scores(10, -1, 1), distances = random_scores(10, 0.1, 1.9);
  List binary = kLabels;
  for (float& each : binary) each = each > 0.4f ? 1.0f : 0.0f;
  expect_differences(cosines, [](Scores s) { return cosine_similarity_loss(s, kLabels); });
  expect_differences(
      cosines, [](Scores s) { return cosent_loss(s, kLabels, 20); }, 0x1p-12);
  expect_differences(distances, [&](Scores s) { return contrastive_loss(s, binary, 0.8, true); });
  expect_differences(distances, [&](Scores s) { return contrastive_loss(s, kLabels, 0.8, false); });
  expect_differences(distances, [&](Scores s) { return online_contrastive_loss(s, binary, 0.9); });
  expect_differences(distances, [](Scores s) { return triplet_loss(s, 0.3); });
  const List three = random_scores(9, -2, 2), margins = random_scores(6, -1, 1), teacher = random_scores(9, -1, 1, 7);
  expect_differences(three, [&](Scores s) { return margin_mse_loss(s, margins, 3); });
  expect_differences(three, [&](Scores s) { return margin_mse_loss(s, teacher, 3); });
  expect_differences(three, [&](Scores s) { return distill_kl_div_loss(s, teacher, 3, 2, 0.5); });
}

// The sum over pairs itself, which the loss never forms.
TEST(ScoreLosses, CoSENTIsASumOverPairs) {
  for (const double scale : {1.0, 20.0}) {
    const List scores = random_scores(10, -1, 1, 3);
    double sum = 1;
    for (size_t i = 0; i < scores.size(); ++i)
      for (size_t j = 0; j < scores.size(); ++j)
        if (kLabels[i] < kLabels[j]) sum += std::exp(scale * (static_cast<double>(scores[i]) - scores[j]));
    EXPECT_NEAR(cosent_loss(scores, kLabels, scale).loss, std::log(sum), 1e-12 * (1 + std::log(sum)));
  }
}

TEST(ScoreLosses, CoSENTOfFarScoresStaysFinite) {
  const ScoreLoss result = cosent_loss(List{1000, -1000}, List{0, 1}, 20);
  EXPECT_EQ(result.loss, 40000);
  EXPECT_EQ(result.dscores[0], 20);
  EXPECT_EQ(result.dscores[1], -20);
  const ScoreLoss none = cosent_loss(List{3, 4}, List{1, 1}, 20);  // no pair
  EXPECT_EQ(none.loss, 0);
  EXPECT_EQ(none.dscores[0], 0);
}

TEST(ScoreLosses, OnlineContrastiveTakesTheHardPairs) {
  // positives 0.1 and 0.6, negatives 0.3 and 0.9: hard are the positive above 0.3 and the negative below 0.6
  const ScoreLoss result = online_contrastive_loss(List{0.1f, 0.6f, 0.3f, 0.9f}, List{1, 1, 0, 0}, 0.5);
  EXPECT_NEAR(result.loss, 0.36 + 0.04, 1e-7);
  EXPECT_EQ(result.dscores[0], 0);
  EXPECT_EQ(result.dscores[3], 0);
  // of one kind alone, and of none
  EXPECT_EQ(online_contrastive_loss(List{0.2f, 0.4f}, List{1, 1}, 0.5).loss, std::pow(static_cast<double>(0.4f), 2));
  EXPECT_EQ(online_contrastive_loss(List{0.2f}, List{0.5f}, 0.5).loss, 0);
}

TEST(ScoreLosses, NonFiniteScoresAreSeen) {
  for (const float value : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    const List scores = {0.1f, value, 0.3f, 0.2f}, binary = {1, 1, 0, 0};
    const List teacher = {1, 2, 3, 4};
    EXPECT_FALSE(std::isfinite(cosine_similarity_loss(scores, binary).loss));
    EXPECT_FALSE(std::isfinite(cosent_loss(scores, binary, 20).loss));
    EXPECT_FALSE(std::isfinite(contrastive_loss(scores, binary, 0.5, true).loss));
    EXPECT_FALSE(std::isfinite(online_contrastive_loss(scores, binary, 0.5).loss));
    EXPECT_FALSE(std::isfinite(triplet_loss(scores, 0.5).loss));
    EXPECT_FALSE(std::isfinite(margin_mse_loss(scores, List{1, 2}, 2).loss));
    EXPECT_FALSE(std::isfinite(distill_kl_div_loss(scores, teacher, 2, 1, 1).loss));
  }
}

}  // namespace
}  // namespace embedcore::test
