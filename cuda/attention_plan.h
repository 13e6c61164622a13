// The plan of a batch's attention: the runs of tokens that blocks of the kernels take. It depends on the lengths of the
// texts alone. So it is made once for a batch, and all layers share it, whatever their heads and masks.
//
// In int32 words: the number of items of each class, then the items, class by class. Texts of up to 16, 32 and 64
// tokens are one item each of the last three classes. Longer texts are cut every 128 tokens into items of class 0, the
// longest text first, and its last tokens first, because they may see the most keys: blocks that take long start first.
#pragma once

#include <cstdint>

namespace embedcore::cuda {

constexpr int kPlanClasses = 4;
// Tokens of an item of class c are at most kMostPlanTokens >> c.
constexpr int kMostPlanTokens = 128;

// Four words.
struct PlanItem {
  int32_t text;
  int32_t first;   // token of the text
  int32_t begin;   // the text's first token in the batch
  int32_t length;  // tokens of the text
};

}  // namespace embedcore::cuda
