// The plan of attention (attention_plan.h): what the kernels find in it.
#include <algorithm>

#include "attention_plan.h"
#include "backend.h"
#include "host_support.h"

namespace embedcore::cuda {
namespace {

struct Plan {
  explicit Plan(const std::vector<int32_t>& lengths) : offsets{0} {
    for (const int32_t length : lengths) offsets.push_back(offsets.back() + length);
    const auto texts = static_cast<int64_t>(lengths.size());
    words.resize(static_cast<size_t>(plan_attention(offsets.data(), texts, nullptr)));
    EXPECT_EQ(plan_attention(offsets.data(), texts, words.data()), static_cast<int64_t>(words.size()));
  }
  std::vector<int32_t> counts() const { return {words.begin(), words.begin() + kPlanClasses}; }
  // Items of all classes in order.
  std::vector<PlanItem> items() const {
    std::vector<PlanItem> list;
    for (size_t i = kPlanClasses; i < words.size(); i += 4)
      list.push_back({words[i], words[i + 1], words[i + 2], words[i + 3]});
    return list;
  }
  std::vector<int32_t> offsets, words;
};

TEST(AttentionPlan, CountsItemsByTheLengthsOfTheirTexts) {
  EXPECT_EQ(Plan({}).counts(), (std::vector<int32_t>{0, 0, 0, 0}));
  EXPECT_EQ(Plan({0, 0}).words.size(), size_t{kPlanClasses});
  EXPECT_EQ(Plan({1, 16, 17, 32, 33, 64, 65, 128}).counts(), (std::vector<int32_t>{2, 2, 2, 2}));
  EXPECT_EQ(Plan({129, 0, 300}).counts(), (std::vector<int32_t>{5, 0, 0, 0}));
}

TEST(AttentionPlan, CoversEachTokenOnceInTheClassOfItsText) {
  const std::vector<int32_t> lengths = {5, 0, 700, 64, 65, 16, 17, 33, 1, 128, 129, 32};
  const Plan plan(lengths);
  const std::vector<PlanItem> items = plan.items();
  std::vector<int> seen(static_cast<size_t>(plan.offsets.back()));
  size_t next = 0;
  for (int kind = 0; kind < kPlanClasses; ++kind) {
    for (int32_t i = 0; i < plan.counts()[static_cast<size_t>(kind)]; ++i, ++next) {
      const PlanItem& item = items.at(next);
      const auto text = static_cast<size_t>(item.text);
      EXPECT_EQ(item.length, lengths.at(text));
      EXPECT_EQ(item.begin, plan.offsets[text]);
      EXPECT_EQ(item.first % kMostPlanTokens, 0);
      EXPECT_LT(item.first, item.length);
      const int32_t most = kMostPlanTokens >> kind, tokens = std::min(most, item.length - item.first);
      if (kind > 0) {
        EXPECT_LE(item.length, most);
      }
      if (kind + 1 < kPlanClasses) {
        EXPECT_GT(item.length, most / 2);
      }
      for (int32_t token = 0; token < tokens; ++token) ++seen[static_cast<size_t>(item.begin + item.first + token)];
    }
  }
  EXPECT_EQ(next, items.size());
  EXPECT_EQ(std::count(seen.begin(), seen.end(), 1), plan.offsets.back());
}

TEST(AttentionPlan, LongTextsComeFirstAndTheirLastTokensFirst) {
  std::vector<std::pair<int32_t, int32_t>> order;  // text, first
  for (const PlanItem& item : Plan({100, 300, 20, 200}).items()) order.emplace_back(item.text, item.first);
  EXPECT_EQ(order,
            (std::vector<std::pair<int32_t, int32_t>>{{1, 256}, {1, 128}, {1, 0}, {3, 128}, {3, 0}, {0, 0}, {2, 0}}));
}

}  // namespace
}  // namespace embedcore::cuda
