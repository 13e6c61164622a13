// ops/attention.h on every backend against the reference, in float32, float16 and bfloat16.
#include "ops/attention.h"

#include <map>

#include "attention_bounds.h"
#include "attention_inputs.h"
#include "op_support.h"

namespace embedcore::test {
namespace {

class AttentionTest : public OpTest {};
EMBEDCORE_EVERY_BACKEND(AttentionTest);

constexpr DType kDTypes[] = {DType::kF32, DType::kF16, DType::kBF16};

// The longest texts are run in float32 only, because in 16 bits they would take as long and test nothing more.
bool is_run(const AttentionCase& c, DType dtype) { return dtype == DType::kF32 || c.lengths[0] < 4000; }

// The relative rounding of weights and rows to 16 bits.
double unit_of(DType dtype) { return dtype == DType::kF16 ? kF16Unit : kBf16Unit; }

std::string name_of(const AttentionCase& c, DType dtype) { return name_of(c) + ", " + dtype_name(dtype); }

// For each query the root of the sum of the squares of its keys' weights, one column per head: 1 if one key has all the
// weight, 1 / sqrt(n) if n have the same.
Rows spreads(const Inputs& inputs, const Rows& prepared) {
  const AttentionCase& c = inputs.spec;
  Rows spread(prepared.rows(), c.heads);
  for (int64_t text = 0; text < inputs.texts(); ++text) {
    const int64_t begin = inputs.offsets[static_cast<size_t>(text)];
    for (int64_t i = 0; i < c.lengths[static_cast<size_t>(text)]; ++i) {
      const KeyRange keys = inputs.keys(text, i);
      for (int64_t h = 0; h < c.heads; ++h) {
        const float* q = prepared.data(begin + i) + h * c.head_dim;
        std::vector<float> scores;
        for (int64_t j = keys.first; j < keys.last; ++j) {
          const float* k = prepared.data(begin + j) + (c.heads + h / (c.heads / c.kv_heads)) * c.head_dim;
          float dot = 0;
          for (int64_t d = 0; d < c.head_dim; ++d) dot += q[d] * k[d];
          scores.push_back(dot * inputs.scale() + (c.bias ? inputs.bias.at(h, inputs.reach + j - i) : 0));
        }
        const float greatest = *std::max_element(scores.begin(), scores.end());
        double sum = 0, squares = 0;
        for (const float score : scores) {
          const double weight = std::exp(score - greatest);
          sum += weight;
          squares += weight * weight;
        }
        spread.at(begin + i, h) = static_cast<float>(std::sqrt(squares) / sum);
      }
    }
  }
  return spread;
}

// The reference's result and, for 16 bits, the spread of its weights; computed once for all backends.
struct Wanted {
  Wanted(const Inputs& inputs, DType dtype)
      : result(inputs.run(reference_backend(), dtype)),
        spread(dtype != DType::kF32 ? spreads(inputs, result.qkv) : Rows(0, 0)) {}
  Result result;
  Rows spread;
};

const Wanted& wanted_of(const AttentionCase& c, const Inputs& inputs, DType dtype) {
  static std::map<std::tuple<const AttentionCase*, DType, float>, Wanted> known;
  return known.try_emplace({&c, dtype, inputs.dropout_rate}, inputs, dtype).first->second;
}

// The weights e^(score - greatest) pass through as many factors as there are blocks of keys, where a backend takes 512
// at a time: each block's greatest score so far is another.
double factors(const Inputs& inputs) { return static_cast<double>((inputs.longest + 511) / 512); }

// The log-sum-exp moves as its scores do. Scores in units of log 2 cost two roundings more, for which twice the error
// of a score makes room; a sum of n powers is off by exp's error a factor and n u, which its logarithm is off by; the
// sum of both is rounded.
void expect_lse(const Inputs& inputs, const Result& got, const Result& wanted, DType dtype) {
  const double error = 2 * score_error(inputs, wanted.qkv, dtype) + exp_error(dtype) * factors(inputs) +
                       kUnit * static_cast<double>(keys_seen(inputs) + 4);
  expect_close(got.lse, wanted.lse,
               [&](int64_t row, int64_t head) { return error + 2 * kUnit * std::abs(wanted.lse.at(row, head)); });
}

// exp turns the score's error into a relative one and adds 4 u (1.5 ulp and a rounding) a factor. A weight is such a
// value over a sum of n of them, so twice that and n u; the weighted sum of n values costs n u more, the last
// multiplications 4 u.
void expect_float32(const Inputs& inputs, const Result& got, const Result& wanted) {
  const double share_error = 2 * (score_error(inputs, wanted.qkv, DType::kF32) + 4 * kUnit * factors(inputs)) +
                             kUnit * static_cast<double>(2 * keys_seen(inputs) + 8);
  const double greatest = static_cast<double>(inputs.spec.size) * inputs.dropout_factor();  // of any value
  expect_close(got.y, wanted.y, [&](int64_t, int64_t) { return share_error * greatest; });

  // q and k are left normed and rotated: three roundings for the norm, three for the rotation of a pair; v is
  // untouched.
  const AttentionCase& c = inputs.spec;
  const int64_t prepared = (c.heads + c.kv_heads) * c.head_dim;
  const double head_size =
      std::max(longest_head(wanted.qkv, 0, c.heads + c.kv_heads, c.head_dim), static_cast<double>(c.size));
  expect_close(got.qkv, wanted.qkv, [&](int64_t, int64_t column) {
    const bool changed = column < prepared && (c.norms != HeadNorms::kNone || c.rotary_dim > 0);
    return changed ? 12 * kUnit * head_size : 0.0;
  });
}

// As in float32 before the rounding of q and k, which an error of a few units sends to the other neighbour once in
// thousands of times.
void expect_prepared_halves(const Inputs& inputs, const Rows& got, const Rows& wanted, DType dtype) {
  const AttentionCase& c = inputs.spec;
  const int64_t prepared = (c.heads + c.kv_heads) * c.head_dim;
  const double error =
      12 * kUnit * std::max(longest_head(wanted, 0, c.heads + c.kv_heads, c.head_dim), static_cast<double>(c.size));
  int64_t different = 0;
  expect_close(got, wanted, [&](int64_t row, int64_t column) {
    if (column >= prepared || (c.norms == HeadNorms::kNone && c.rotary_dim == 0)) return 0.0;
    different += got.at(row, column) != wanted.at(row, column);
    return error + 2 * row_rounding(dtype, std::abs(wanted.at(row, column)) + error);
  });
  EXPECT_LE(different, 2 + got.rows() * prepared / 100);
}

// Each weight has the relative error w: the score's, 2^-10 (float16: 2^-13) a factor for an exp that suffices here, and
// 2^-8 (2^-11) for its rounding to 16 bits. In float16 a weight below 2^-14 is off by 2^-25 instead; the sum of the
// weights is 1 at least. The sum that it is divided by may be that of rounded or unrounded weights, so it is off by w y
// of its own. In the sum over the values v the errors cannot pass w max|v|. But they come from q and k alone and the
// values are random numbers of mean 0 that know nothing of them: by Hoeffding's inequality the sum stays within 7 w
// max|v| sqrt(sum of squared shares) but for one time in 10^10, which is what tells a mean of a thousand values from 0.
// The sums in float32 are of pairs as above.
void expect_halves(const Inputs& inputs, const Result& got, const Result& wanted, const Rows& spread, DType dtype) {
  const double weight_error =
      score_error(inputs, wanted.qkv, dtype) + exp_error(dtype) * factors(inputs) + unit_of(dtype);
  const double greatest = static_cast<double>(inputs.spec.size) * inputs.dropout_factor() * (1 + unit_of(dtype));
  const double keys = static_cast<double>(keys_seen(inputs)), small = dtype == DType::kF16 ? 0x1p-25 : 0;
  const double sums = kUnit * static_cast<double>(4 * keys_seen(inputs) + 16) * greatest;
  expect_close(got.y, wanted.y, [&](int64_t row, int64_t column) {
    const double size = std::abs(wanted.y.at(row, column)) * (1 + unit_of(dtype));
    const double error =
        weight_error * (greatest * std::min(1.0, 7.0 * spread.at(row, column / inputs.spec.head_dim)) + size) +
        small * (7 * std::sqrt(keys) * greatest + keys * size) + sums;
    return error + 2 * row_rounding(dtype, size + error);
  });

  // Roundings to nearest make values now greater, now smaller. Over many they leave no trend, but for the 2^-10
  // (float16: 2^-13) of an exp that is off alike in all greatest weights, if these are rounded and their sum is not.
  // Cutting off, of weights or of results, takes about three times that.
  if (got.y.rows() * got.y.width() < 4000) return;
  double trend = 0, sizes = 0;
  for (int64_t row = 0; row < got.y.rows(); ++row) {
    for (int64_t column = 0; column < got.y.width(); ++column) {
      const double one = wanted.y.at(row, column);
      trend += one < 0 ? one - got.y.at(row, column) : got.y.at(row, column) - one;
      sizes += std::abs(one);
    }
  }
  EXPECT_LE(std::abs(trend), 1.5 * exp_error(dtype) * sizes);
}

void expect_agrees(const Backend& backend, const AttentionCase& c, const Inputs& inputs, DType dtype) {
  SCOPED_TRACE(name_of(c, dtype) + ", dropout " + std::to_string(inputs.dropout_rate));
  const Wanted& wanted = wanted_of(c, inputs, dtype);
  const Result got = inputs.run(backend, dtype);
  const Result dropped = inputs.run(backend, dtype, 0, inputs.texts(), Order::kAscending, Lse::kDropped);
  expect_same_bits(dropped.y, got.y);
  expect_same_bits(dropped.qkv, got.qkv);
  if (dtype == DType::kF32) {
    expect_float32(inputs, got, wanted.result);
    expect_lse(inputs, got, wanted.result, dtype);
    return;
  }
  // The scores are of q and k as the backend left them. They differ from those of the reference by some roundings,
  // which do not count as errors of the rest.
  expect_prepared_halves(inputs, got.qkv, wanted.result.qkv, dtype);
  const bool same = same_values(got.qkv, wanted.result.qkv);
  const Result again = same ? wanted.result : inputs.with_prepared(got.qkv).run(reference_backend(), dtype);
  expect_halves(inputs, got, again, wanted.spread, dtype);
  expect_lse(inputs, got, again, dtype);
}

TEST_P(AttentionTest, AgreesWithReference) {
  for (const AttentionCase& c : cases(attention_cases()))
    for (const DType dtype : supported(backend(), kDTypes))
      if (is_run(c, dtype)) expect_agrees(backend(), c, Inputs(c), dtype);
}

TEST_P(AttentionTest, DropoutAgreesWithReference) {
  if (!trains(backend())) GTEST_SKIP() << backend().name << " has no training";
  float rate = 0;
  for (const AttentionCase& c : cases(attention_cases())) {
    rate = rate == 0.1f ? 0.6f : 0.1f;
    Inputs inputs(c);
    inputs.dropout_rate = rate;
    for (const DType dtype : supported(backend(), kDTypes)) {
      if (!is_run(c, dtype)) continue;
      expect_agrees(backend(), c, inputs, dtype);
      // The log-sum-exp is of the scores, and dropout comes after them.
      const Result dropped = inputs.run(backend(), dtype), whole = Inputs(c).run(backend(), dtype);
      expect_same_bits(dropped.lse, whole.lse);
    }
  }
}

// Scores of 0 weigh all keys alike, and each key's value counts in one column: y counts the keys that were seen, and
// one that is missing, seen twice or not to be seen shows however many there are.
TEST_P(AttentionTest, EveryKeyThatIsSeenCountsOnce) {
  constexpr int64_t kDim = 64;
  constexpr Mask kBoth = Mask::kBidirectional, kCausal = Mask::kCausal, kPrefix = Mask::kPrefix;
  const AttentionCase list[] = {
      {{1, 511, 512, 513}, 2, 1, kDim},        {{1025}, 1, 1, kDim},
      {{1600}, 1, 1, kDim, kCausal},           {{1025}, 1, 1, kDim, kBoth, 100},
      {{1025}, 1, 1, kDim, kCausal, 100},      {{700}, 1, 1, kDim, kCausal, 512},
      {{1100}, 1, 1, kDim, kBoth, 513},        {{1025, 600}, 1, 1, kDim, kPrefix, 0, {515, 600}},
      {{700}, 1, 1, kDim, kPrefix, 60, {540}},
  };
  for (const AttentionCase& c : cases(list)) {
    Inputs inputs(c);
    for (int64_t row = 0; row < inputs.qkv.rows(); ++row) {
      for (int64_t d = 0; d < c.heads * kDim; ++d) inputs.qkv.at(row, d) = 0;
      for (int64_t d = 0; d < kDim; ++d) inputs.qkv.at(row, (c.heads + 1) * kDim + d) = row % kDim == d ? 1.0f : 0.0f;
    }
    for (const DType dtype : supported(backend(), kDTypes)) {
      SCOPED_TRACE(name_of(c, dtype));
      const Rows y = inputs.run(backend(), dtype).y;
      const double share_error = dtype == DType::kF32
                                     ? 8 * kUnit * factors(inputs) + kUnit * static_cast<double>(2 * inputs.longest + 8)
                                     : 2 * (exp_error(dtype) * factors(inputs) + unit_of(dtype)) + 2 * unit_of(dtype);
      for (int64_t text = 0; text < inputs.texts(); ++text) {
        const int64_t begin = inputs.offsets[static_cast<size_t>(text)];
        for (int64_t i = 0; i < c.lengths[static_cast<size_t>(text)]; ++i) {
          const KeyRange keys = inputs.keys(text, i);
          std::vector<double> counts(kDim);
          for (int64_t j = keys.first; j < keys.last; ++j) ++counts[static_cast<size_t>((begin + j) % kDim)];
          for (int64_t d = 0; d < c.heads * kDim; ++d) {
            const double wanted = counts[static_cast<size_t>(d % kDim)] / static_cast<double>(keys.last - keys.first);
            ASSERT_NEAR(y.at(begin + i, d), wanted, share_error * wanted + 1e-35)
                << "text " << text << ", token " << i << ", column " << d;
          }
        }
      }
    }
  }
}

TEST_P(AttentionTest, TextsAreIndependentBitForBit) {
  for (const AttentionCase& c : cases(attention_cases())) {
    const Inputs inputs(c);
    for (const DType dtype : supported(backend(), kDTypes)) {
      if (!is_run(c, dtype)) continue;
      SCOPED_TRACE(name_of(c, dtype));
      const Result all = inputs.run(backend(), dtype);
      for (const Order order : {Order::kShuffled, Order::kThreads}) {
        const Result other = inputs.run(backend(), dtype, 0, inputs.texts(), order);
        expect_same_bits(other.y, all.y);
        expect_same_bits(other.qkv, all.qkv);
        expect_same_bits(other.lse, all.lse);
      }
      for (int64_t text = 0; text < inputs.texts() && inputs.texts() > 1; ++text) {
        const int64_t begin = inputs.offsets[static_cast<size_t>(text)];
        for (const int64_t end : {text + 1, inputs.texts()}) {
          const Result part = inputs.run(backend(), dtype, text, end);
          expect_same_bits(part.y, all.y, begin);
          expect_same_bits(part.lse, all.lse, begin);
        }
      }
    }
  }
}

// A causal token sees nothing of what follows, so a text cut short gives the same rows; the lengths of vectors, tiles
// and blocks of keys differ.
TEST_P(AttentionTest, CausalRowsDoNotDependOnLaterTokens) {
  const AttentionCase list[] = {{{300}, 2, 1, 16, Mask::kCausal, 0, {}, 16},
                                {{1100}, 2, 1, 16, Mask::kCausal, 0, {}, 16}};
  for (const AttentionCase& c : cases(list)) {
    for (const DType dtype : supported(backend(), kDTypes)) {
      const Inputs inputs(c);
      const Result all = inputs.run(backend(), dtype);
      for (const int32_t length : {1, 2, 5, 16, 63, 64, 65, 130, 257, 299, 511, 512, 513, 1023, 1024, 1025}) {
        // a short text has the first of these, a long one the last
        if (length >= inputs.longest || (inputs.longest > 1000 && length < 511)) continue;
        SCOPED_TRACE(testing::Message() << length << " of " << inputs.longest << ", " << dtype_name(dtype));
        AttentionCase cut = c;
        cut.lengths = {length};
        Inputs shorter(cut);
        for (int64_t row = 0; row < length; ++row)
          std::copy_n(inputs.qkv.data(row), inputs.qkv.width(), shorter.qkv.data(row));
        expect_same_bits(shorter.run(backend(), dtype).y, all.y);
      }
    }
  }
}

TEST_P(AttentionTest, NonFiniteInputStaysInItsText) {
  const AttentionCase c{{20, 7, 40}, 1, 1, 16, Mask::kBidirectional, 0, {}, 16};
  for (const DType dtype : supported(backend(), kDTypes)) {
    const Result clean = Inputs(c).run(backend(), dtype);
    for (const float value : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), 3e38f}) {
      for (const int64_t column : {0, 16 + 3, 32 + 5}) {  // of q, k and v of the first head
        SCOPED_TRACE(testing::Message() << value << " in column " << column << ", " << dtype_name(dtype));
        Inputs inputs(c);
        inputs.qkv.at(22, column) = value;
        const Result spoiled = inputs.run(backend(), dtype);
        for (int64_t row = 0; row < 67; ++row) {
          if (row >= 20 && row < 27) continue;
          for (int64_t d = 0; d < 16; ++d)
            ASSERT_EQ(std::bit_cast<uint32_t>(spoiled.y.at(row, d)), std::bit_cast<uint32_t>(clean.y.at(row, d)))
                << "row " << row;
        }
        // Every token that sees it: the query's own row, and all rows for a key or a value.
        for (int64_t row = 20; row < 27 && std::isnan(value); ++row) {
          const bool sees = column >= 16 || row == 22;
          EXPECT_EQ(std::isnan(spoiled.y.at(row, 5)), sees) << "row " << row;
        }
      }
    }
  }
}

// The runs of keys by their definition, one key at a time.
TEST(VisibleKeys, AreTheKeysOfTheDefinition) {
  for (const int64_t n : {1, 2, 5, 9}) {
    for (const int64_t window : {0, 1, 2, 4, 20}) {
      for (const int64_t prefix : {0, 1, 4, 30}) {
        for (const Mask mask : {Mask::kBidirectional, Mask::kCausal, Mask::kPrefix}) {
          for (int64_t i = 0; i < n; ++i) {
            const KeyRange range = visible_keys(mask, window, prefix, i, n);
            EXPECT_GE(range.first, 0);
            EXPECT_LE(range.last, n);
            for (int64_t j = 0; j < n; ++j) {
              bool sees = window == 0 || (mask == Mask::kBidirectional ? std::abs(i - j) <= window : i - j < window);
              if (mask != Mask::kBidirectional && j > i) sees = mask == Mask::kPrefix && i < prefix && j < prefix;
              EXPECT_EQ(j >= range.first && j < range.last, sees)
                  << "mask " << static_cast<int>(mask) << ", window " << window << ", prefix " << prefix << ", " << i
                  << " of " << n << ", key " << j;
            }
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace embedcore::test
