// What ops/attention.h does for training in its forward pass: dropout of the weights, and q and k that are kept.
#include "attention_inputs.h"
#include "op_support.h"

namespace embedcore::test {
namespace {

class AttentionTrainingTest : public OpTest {};
EMBEDCORE_EVERY_BACKEND(AttentionTrainingTest);

constexpr DType kDTypes[] = {DType::kF32, DType::kF16, DType::kBF16};

// Scores of 0 weigh all keys alike, and each key's value counts in one column: y tells how many keys dropout kept, of
// those that ops/dropout.h names.
TEST_P(AttentionTrainingTest, DropoutTakesTheWeightsOfItsNumbers) {
  if (!trains(backend())) GTEST_SKIP() << backend().name << " has no training";
  constexpr int64_t kDim = 64;
  const AttentionCase c{{5, 530}, 2, 1, kDim, Mask::kBidirectional, 70};
  Inputs inputs(c);
  inputs.dropout_rate = 0.25f;
  for (int64_t row = 0; row < inputs.qkv.rows(); ++row) {
    for (int64_t d = 0; d < c.heads * kDim; ++d) inputs.qkv.at(row, d) = 0;
    for (int64_t d = 0; d < kDim; ++d) inputs.qkv.at(row, (c.heads + 1) * kDim + d) = row % kDim == d ? 1.0f : 0.0f;
  }
  const Rows y = inputs.run(backend(), DType::kF32).y;
  int64_t kept_keys = 0, all_keys = 0;
  for (int64_t text = 0; text < inputs.texts(); ++text) {
    const int64_t begin = inputs.offsets[static_cast<size_t>(text)];
    for (int64_t i = 0; i < c.lengths[static_cast<size_t>(text)]; ++i) {
      const KeyRange keys = inputs.keys(text, i);
      const RowKey key = inputs.keys_of_rows[static_cast<size_t>(begin + i)];
      for (uint32_t head = 0; head < c.heads; ++head) {
        std::vector<double> counts(kDim);
        for (int64_t j = keys.first; j < keys.last; ++j) {
          const PhiloxWords words = philox({{static_cast<uint32_t>(j / 8), static_cast<uint32_t>(key.token),
                                             static_cast<uint32_t>(key.text), Inputs::kSite + head}},
                                           Inputs::kSeed);
          const bool kept = dropout_number(words, j) >= 16384;  // a quarter of 65536
          counts[static_cast<size_t>((begin + j) % kDim)] += kept;
          kept_keys += kept;
          ++all_keys;
        }
        for (int64_t d = 0; d < kDim; ++d) {
          const double wanted = counts[static_cast<size_t>(d)] / 0.75 / static_cast<double>(keys.last - keys.first);
          ASSERT_NEAR(y.at(begin + i, head * kDim + d), wanted, 600 * kUnit * wanted)  // a sum of up to 530 weights
              << "text " << text << ", token " << i << ", head " << head << ", column " << d;
        }
      }
    }
  }
  // Five standard deviations of a count of independent draws.
  EXPECT_NEAR(static_cast<double>(kept_keys), 0.75 * static_cast<double>(all_keys),
              5 * std::sqrt(0.1875 * static_cast<double>(all_keys)));
}

// What is kept of q and k are the values that were given, whatever is done to them, and nothing else changes.
TEST_P(AttentionTrainingTest, KeepsQueriesAndKeysAsTheyWere) {
  if (!trains(backend())) GTEST_SKIP() << backend().name << " has no training";
  const AttentionCase list[] = {{{9, 0, 4}, 4, 2, 20, Mask::kCausal, 0, {}, 8, HeadNorms::kBoth, false, 3},
                                {{7}, 2, 2, 5, Mask::kBidirectional, 0, {}, 0, HeadNorms::kKey},
                                {{3, 40}, 2, 1, 64, Mask::kBidirectional, 0, {}, 64},
                                {{6}, 2, 1, 16}};
  for (const AttentionCase& c : cases(list)) {
    const Inputs inputs(c);
    for (const DType dtype : supported(backend(), kDTypes)) {
      SCOPED_TRACE(testing::Message() << name_of(c) << ", " << dtype_name(dtype));
      Rows raw(0, 0);
      const Result kept = inputs.run(backend(), dtype, 0, inputs.texts(), Order::kAscending, Lse::kKept, &raw);
      const Result without = inputs.run(backend(), dtype);
      expect_same_bits(kept.y, without.y);
      expect_same_bits(kept.qkv, without.qkv);
      const Rows given = TypedRows(dtype, inputs.qkv).values();
      expect_close(
          raw,
          [&] {
            Rows wanted(raw.rows(), raw.width());
            for (int64_t row = 0; row < raw.rows(); ++row) std::copy_n(given.data(row), raw.width(), wanted.data(row));
            return wanted;
          }(),
          [](int64_t, int64_t) { return 0.0; });
    }
  }
}

}  // namespace
}  // namespace embedcore::test
