#include "attention_plan.h"

#include <algorithm>
#include <cstring>

#include "backend.h"

namespace embedcore::cuda {

namespace {

int class_of(int32_t length) { return length > 64 ? 0 : length > 32 ? 1 : length > 16 ? 2 : 3; }

// Calls visit(class, item) for each item, text by text.
template <typename Visit>
void each_item(const int32_t* offsets, int64_t texts, Visit&& visit) {
  for (int64_t text = 0; text < texts; ++text) {
    const int32_t begin = offsets[text], length = offsets[text + 1] - begin;
    for (int32_t first = 0; first < length; first += kMostPlanTokens)
      visit(class_of(length),
            PlanItem{.text = static_cast<int32_t>(text), .first = first, .begin = begin, .length = length});
  }
}

bool starts_before(const PlanItem& a, const PlanItem& b) {
  if (a.length != b.length) return a.length > b.length;
  return a.first != b.first ? a.first > b.first : a.text < b.text;
}

}  // namespace

int64_t plan_attention(const int32_t* offsets, int64_t texts, int32_t* words) {
  int32_t counts[kPlanClasses] = {};
  each_item(offsets, texts, [&](int kind, const PlanItem&) { ++counts[kind]; });
  int64_t first[kPlanClasses], items = 0;
  for (int kind = 0; kind < kPlanClasses; ++kind) {
    first[kind] = items;
    items += counts[kind];
  }
  if (words) {
    std::memcpy(words, counts, sizeof counts);
    auto* const list = reinterpret_cast<PlanItem*>(words + kPlanClasses);
    each_item(offsets, texts, [&](int kind, const PlanItem& item) { list[first[kind]++] = item; });
    std::sort(list, list + counts[0], starts_before);
  }
  return kPlanClasses + items * static_cast<int64_t>(sizeof(PlanItem) / sizeof(int32_t));
}

}  // namespace embedcore::cuda
