// ops/attention.h on every backend against the reference.
#include "ops/attention.h"

#include "op_cases.h"
#include "op_support.h"

namespace embedcore::test {
namespace {

class AttentionTest : public OpTest {};
EMBEDCORE_EVERY_BACKEND(AttentionTest);

struct Result {
  Rows qkv, y;
};

struct Inputs {
  explicit Inputs(const AttentionCase& c)
      : spec(c), offsets(offsets_of(c.lengths)), longest(*std::max_element(c.lengths.begin(), c.lengths.end())),
        qkv(offsets.back(), (c.heads + 2 * c.kv_heads) * c.head_dim, c.gap), reach(longest + 2), bias(c.heads, 2 * reach + 1), cosine(longest + 1, c.rotary_dim / 2),
        sine(longest + 1, c.rotary_dim / 2), q_norm(1, c.head_dim), k_norm(1, c.head_dim) {
    Random random(static_cast<uint32_t>(offsets.back() * 31 + c.head_dim));
    qkv.fill(random, -static_cast<double>(c.size), static_cast<double>(c.size));
    bias.fill(random, -2, 2);
    q_norm.fill(random, 0.5, 1.5);
    k_norm.fill(random, 0.5, 1.5);
    for (int64_t position = 0; position < cosine.rows(); ++position) {
      for (int64_t i = 0; i < cosine.width(); ++i) {
        const double angle = static_cast<double>(position) / std::pow(100.0, static_cast<double>(i) / static_cast<double>(cosine.width()));
        cosine.at(position, i) = static_cast<float>(std::cos(angle));
        sine.at(position, i) = static_cast<float>(std::sin(angle));
      }
    }
  }

  float scale() const { return 1.0f / std::sqrt(static_cast<float>(spec.head_dim)); }

  // Texts begin .. end, their rows copied out.
  Result run(const Backend& backend, int64_t begin, int64_t end, Order order = Order::kAscending) const {
    const int64_t first = offsets[static_cast<size_t>(begin)], tokens = offsets[static_cast<size_t>(end)] - first;
    Result result{Rows(tokens, qkv.width(), spec.gap), Rows(tokens, spec.heads * spec.head_dim, spec.gap)};
    for (int64_t row = 0; row < tokens; ++row) std::copy_n(qkv.data(first + row), qkv.width(), result.qkv.data(row));
    std::vector<int32_t> own;
    for (int64_t text = begin; text <= end; ++text) own.push_back(offsets[static_cast<size_t>(text)] - static_cast<int32_t>(first));
    AttentionArgs args{};
    args.qkv = result.qkv.data();
    args.qkv_stride = result.qkv.stride();
    args.y = result.y.data();
    args.y_stride = result.y.stride();
    args.offsets = own.data();
    args.texts = end - begin;
    args.heads = spec.heads;
    args.kv_heads = spec.kv_heads;
    args.head_dim = spec.head_dim;
    args.scale = scale();
    args.mask = spec.mask;
    args.window = spec.window;
    args.prefix = spec.prefix.empty() ? nullptr : spec.prefix.data() + begin;
    if (spec.rotary_dim > 0) {
      args.rope_cos = cosine.data();
      args.rope_sin = sine.data();
      args.rotary_dim = spec.rotary_dim;
    }
    if (spec.norms == HeadNorms::kBoth || spec.norms == HeadNorms::kQuery) args.q_norm = q_norm.data();
    if (spec.norms == HeadNorms::kBoth || spec.norms == HeadNorms::kKey) args.k_norm = k_norm.data();
    args.qk_norm_epsilon = 1e-6f;
    if (spec.bias) {
      args.bias = bias.data();
      args.bias_reach = reach;
    }
    TestScope scope(order);
    expect_ok(backend.attention(scope, args), scope);
    return result;
  }

  const AttentionCase& spec;
  std::vector<int32_t> offsets;
  int32_t longest;
  Rows qkv;
  int64_t reach;
  Rows bias, cosine, sine, q_norm, k_norm;
};

double longest_head(const Rows& qkv, int64_t first_head, int64_t heads, int64_t head_dim) {
  double most = 0;
  for (int64_t row = 0; row < qkv.rows(); ++row) {
    for (int64_t h = first_head; h < first_head + heads; ++h) {
      double squares = 0;
      for (int64_t d = 0; d < head_dim; ++d) squares += std::pow(static_cast<double>(qkv.at(row, h * head_dim + d)), 2);
      most = std::max(most, std::sqrt(squares));
    }
  }
  return most;
}

// With s = scale |q| |k|, which bounds a score and by Cauchy-Schwarz its sum of magnitudes: a score is off by (head_dim + 3) u s, by
// 16 u s more where q and k were normed and rotated in float32 first, and by 2 u (s + |bias|) for the bias and the greatest's
// subtraction. exp turns that into a relative error and adds 4 u (1.5 ulp and a rounding). A weight is such a value over a sum of n of them, so
// twice that and n u; the weighted sum of n values costs n u more, the last multiplications 4 u.
TEST_P(AttentionTest, AgreesWithReference) {
  for (const AttentionCase& c : attention_cases()) {
    SCOPED_TRACE(name_of(c));
    const Inputs inputs(c);
    const auto texts = static_cast<int64_t>(c.lengths.size());
    const Result wanted = inputs.run(reference_backend(), 0, texts), got = inputs.run(backend(), 0, texts);

    const double s = static_cast<double>(inputs.scale()) * longest_head(wanted.qkv, 0, c.heads, c.head_dim) * longest_head(wanted.qkv, c.heads, c.kv_heads, c.head_dim);
    const double score_error = kUnit * (static_cast<double>(c.head_dim + 19) * s + 2 * (s + (c.bias ? 2 : 0)));
    const double seen = static_cast<double>(c.window > 0 ? std::min<int64_t>(2 * c.window + 1 + (c.mask == Mask::kPrefix ? inputs.longest : 0), inputs.longest) : inputs.longest);
    const double share_error = 2 * (score_error + 4 * kUnit) + kUnit * (2 * seen + 8);
    const double greatest = static_cast<double>(c.size);  // of any value
    expect_close(got.y, wanted.y, [&](int64_t, int64_t) { return share_error * greatest; });

    // q and k are left normed and rotated: three roundings for the norm, three for the rotation of a pair; v is untouched.
    const int64_t prepared = (c.heads + c.kv_heads) * c.head_dim;
    const double head_size = std::max(longest_head(wanted.qkv, 0, c.heads + c.kv_heads, c.head_dim), static_cast<double>(c.size));
    expect_close(got.qkv, wanted.qkv, [&](int64_t, int64_t column) {
      const bool changed = column < prepared && (c.norms != HeadNorms::kNone || c.rotary_dim > 0);
      return changed ? 12 * kUnit * head_size : 0.0;
    });
  }
}

TEST_P(AttentionTest, TextsAreIndependentBitForBit) {
  for (const AttentionCase& c : attention_cases()) {
    SCOPED_TRACE(name_of(c));
    const Inputs inputs(c);
    const auto texts = static_cast<int64_t>(c.lengths.size());
    const Result all = inputs.run(backend(), 0, texts);
    for (const Order order : {Order::kShuffled, Order::kThreads}) {
      const Result other = inputs.run(backend(), 0, texts, order);
      expect_same_bits(other.y, all.y);
      expect_same_bits(other.qkv, all.qkv);
    }
    for (int64_t text = 0; text < texts; ++text) {
      const Result alone = inputs.run(backend(), text, text + 1), rest = inputs.run(backend(), text, texts);
      expect_same_bits(alone.y, all.y, inputs.offsets[static_cast<size_t>(text)]);
      expect_same_bits(rest.y, all.y, inputs.offsets[static_cast<size_t>(text)]);
    }
  }
}

// A causal token sees nothing of what follows, so a text cut short gives the same rows; the lengths of vectors and tiles differ.
TEST_P(AttentionTest, CausalRowsDoNotDependOnLaterTokens) {
  const AttentionCase whole{{300}, 2, 1, 16, Mask::kCausal, 0, {}, 16};
  const Inputs inputs(whole);
  const Result all = inputs.run(backend(), 0, 1);
  for (const int32_t length : {1, 2, 5, 16, 63, 64, 65, 130, 257, 299}) {
    SCOPED_TRACE(length);
    const AttentionCase cut{{length}, 2, 1, 16, Mask::kCausal, 0, {}, 16};
    Inputs shorter(cut);
    for (int64_t row = 0; row < length; ++row) std::copy_n(inputs.qkv.data(row), inputs.qkv.width(), shorter.qkv.data(row));
    expect_same_bits(shorter.run(backend(), 0, 1).y, all.y);
  }
}

TEST_P(AttentionTest, NonFiniteInputStaysInItsText) {
  for (const float value : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), 3e38f}) {
    for (const int64_t column : {0, 16 + 3, 32 + 5}) {  // of q, k and v of the first head
      SCOPED_TRACE(testing::Message() << value << " in column " << column);
      const AttentionCase c{{20, 7, 40}, 1, 1, 16, Mask::kBidirectional, 0, {}, 16};
      Inputs inputs(c);
      const Result clean = inputs.run(backend(), 0, 3);
      inputs.qkv.at(22, column) = value;
      const Result spoiled = inputs.run(backend(), 0, 3);
      for (int64_t row = 0; row < 67; ++row) {
        if (row >= 20 && row < 27) continue;
        for (int64_t d = 0; d < 16; ++d)
          ASSERT_EQ(std::bit_cast<uint32_t>(spoiled.y.at(row, d)), std::bit_cast<uint32_t>(clean.y.at(row, d))) << "row " << row;
      }
      // Every token that sees it: the query's own row, and all rows for a key or a value.
      for (int64_t row = 20; row < 27 && std::isnan(value); ++row) {
        const bool sees = column >= 16 || row == 22;
        EXPECT_EQ(std::isnan(spoiled.y.at(row, 5)), sees) << "row " << row;
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
              EXPECT_EQ(j >= range.first && j < range.last, sees) << "mask " << static_cast<int>(mask) << ", window " << window << ", prefix " << prefix << ", " << i << " of " << n << ", key " << j;
            }
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace embedcore::test
