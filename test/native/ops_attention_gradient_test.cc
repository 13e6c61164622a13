// The gradients of ops/attention.h on every backend against the reference, whose own are compared with differences of
// its forward pass in ops_attention_difference_test.cc.
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <tuple>

#include "attention_bounds.h"
#include "attention_gradients.h"
#include "op_support.h"

namespace embedcore::test {
namespace {

class AttentionGradientTest : public OpTest {
 protected:
  void SetUp() override {
    if (!trains(backend())) GTEST_SKIP() << backend().name << " has no training";
  }
};
EMBEDCORE_EVERY_BACKEND(AttentionGradientTest);

constexpr DType kDTypes[] = {DType::kF32, DType::kF16, DType::kBF16};

bool is_run(const AttentionCase& c, DType dtype) { return dtype == DType::kF32 || c.lengths[0] < 1500; }

// The reference's gradients, and the sums of its weights that bounds are made of; computed once for all backends.
struct Wanted {
  Wanted(const AttentionCase& c, DType dtype, float rate) : inputs(c) {
    inputs.dropout_rate = rate;
    backward = std::make_unique<Backward>(inputs, dtype);
    dqkv = std::make_unique<Rows>(backward->dqkv(reference_backend()));
    if (c.bias) dbias = std::make_unique<Rows>(backward->dbias(reference_backend()));
    // With ones for dy and no dropout, dv is the sum of a key's weights over all queries and heads of its group.
    Inputs whole = inputs;
    whole.dropout_rate = 0;
    Backward ones(whole, dtype, whole.run(reference_backend(), dtype));
    ones.dy.each([](float) { return 1.0f; });
    masses = std::make_unique<Rows>(ones.dqkv(reference_backend()));
  }
  Inputs inputs;
  std::unique_ptr<Backward> backward;
  std::unique_ptr<Rows> dqkv, dbias, masses;
};

const Wanted& wanted_of(const AttentionCase& c, DType dtype, float rate) {
  static std::map<std::tuple<const AttentionCase*, DType, float>, Wanted> known;
  return known.try_emplace({&c, dtype, rate}, c, dtype, rate).first->second;
}

// No dropout for one half of the cases, a rate for the other; the next dtype has it the other way round.
float rate_of(const AttentionCase& c, DType dtype) {
  const auto index = &c - attention_cases().data();
  return (index + (dtype == DType::kF32 ? 0 : 1)) % 2 == 0 ? 0.0f : index % 4 < 2 ? 0.1f : 0.6f;
}

// The errors of one tile of the backward pass, with u the unit of float32.
struct Errors {
  Errors(const Wanted& wanted, DType dtype) {
    const Inputs& inputs = wanted.inputs;
    const AttentionCase& c = inputs.spec;
    const Rows& qkv = wanted.backward->forward.qkv;
    const auto dim = static_cast<double>(c.head_dim);
    double lse = 0;
    wanted.backward->forward.lse.magnitudes().each([&](float value) {
      lse = std::max(lse, static_cast<double>(value));
      return value;
    });
    // A weight has the error of its score, the roundings of the log-sum-exp and of what is left, and that of exp, to
    // which units of log 2 add one.
    weight = score_error(inputs, qkv, dtype) + 4 * kUnit * (lse + 1) + exp_error(dtype);
    // The gradient of a weight, and its mean over the keys, are both at most |dy| |v| and the factor of dropout. They
    // are sums of head_dim products, with dropout's and two roundings more. So dS is P times twice that size, with the
    // relative error of P and the error of the difference.
    size = inputs.dropout_factor() * longest_head(wanted.backward->dy, 0, c.heads, c.head_dim) *
           longest_head(qkv, c.heads + c.kv_heads, c.kv_heads, c.head_dim);
    score = size * (2 * weight + kUnit * (2 * dim + 12));
    // Sums over keys or queries add their number of roundings; the rotation of a pair, a scale and a factor add six,
    // and a pair's greatest element may be 1.42 times as large after it.
    keys = static_cast<double>(keys_seen(inputs)) + 6;
    queries = keys * static_cast<double>(c.heads / c.kv_heads);
    query_factor = 1.42 * std::abs(static_cast<double>(inputs.scale())) *
                   greatest(qkv, c.heads * c.head_dim, c.kv_heads * c.head_dim);
    key_factor = 1.42 * std::abs(static_cast<double>(inputs.scale())) * greatest(qkv, 0, c.heads * c.head_dim);
  }

  static double greatest(const Rows& rows, int64_t first, int64_t count) {
    double most = 0;
    for (int64_t row = 0; row < rows.rows(); ++row)
      for (int64_t d = first; d < first + count; ++d)
        most = std::max(most, std::abs(static_cast<double>(rows.at(row, d))));
    return most;
  }

  double weight, size, score, keys, queries, query_factor, key_factor;
};

// A query's weights have the sum 1, those of a key the mass that the reference gives; dv is a sum of weights times
// elements of dy, which are below 1.
void expect_dqkv(const Wanted& wanted, const Rows& got, DType dtype) {
  const Errors errors(wanted, dtype);
  const AttentionCase& c = wanted.inputs.spec;
  const int64_t first_key = c.heads * c.head_dim, first_value = first_key + c.kv_heads * c.head_dim;
  expect_close(got, *wanted.dqkv, [&](int64_t row, int64_t column) {
    const double rounding = 2 * kUnit * std::abs(static_cast<double>(wanted.dqkv->at(row, column))) + 1e-30;
    if (column < first_key)
      return errors.query_factor * (errors.score + 2 * errors.size * kUnit * errors.keys) + rounding;
    const int64_t of_value = column < first_value ? column + c.kv_heads * c.head_dim : column;
    const double mass = 1.001 * wanted.masses->at(row, of_value);
    if (column < first_value)
      return mass * errors.key_factor * (errors.score + 2 * errors.size * kUnit * errors.queries) + rounding;
    return mass * wanted.inputs.dropout_factor() * (errors.weight + kUnit * errors.queries) + rounding;
  });
}

TEST_P(AttentionGradientTest, AgreesWithReference) {
  for (const AttentionCase& c : cases(attention_cases())) {
    for (const DType dtype : supported(backend(), kDTypes)) {
      if (!is_run(c, dtype)) continue;
      const float rate = rate_of(c, dtype);
      SCOPED_TRACE(testing::Message() << name_of(c) << ", " << dtype_name(dtype) << ", dropout " << rate);
      const Wanted& wanted = wanted_of(c, dtype, rate);
      expect_dqkv(wanted, wanted.backward->dqkv(backend()), dtype);
    }
  }
}

// The sum of the weights on each diagonal, which an element of dbias is a sum over.
Rows diagonal_masses(const Wanted& wanted) {
  const Inputs& inputs = wanted.inputs;
  const AttentionCase& c = inputs.spec;
  const Result& forward = wanted.backward->forward;
  Rows masses = wanted.backward->no_dbias();
  for (int64_t text = 0; text < inputs.texts(); ++text) {
    const int64_t begin = inputs.offsets[static_cast<size_t>(text)];
    for (int64_t i = 0; i < c.lengths[static_cast<size_t>(text)]; ++i) {
      const KeyRange keys = inputs.keys(text, i);
      for (int64_t h = 0; h < c.heads; ++h) {
        const float* q = forward.qkv.data(begin + i) + h * c.head_dim;
        for (int64_t j = keys.first; j < keys.last; ++j) {
          const float* k = forward.qkv.data(begin + j) + (c.heads + h / (c.heads / c.kv_heads)) * c.head_dim;
          float dot = 0;
          for (int64_t d = 0; d < c.head_dim; ++d) dot += q[d] * k[d];
          const int64_t column = inputs.reach + j - i;
          masses.at(h, column) +=
              std::exp(dot * inputs.scale() + inputs.bias.at(h, column) - forward.lse.at(begin + i, h));
        }
      }
    }
  }
  return masses;
}

TEST_P(AttentionGradientTest, BiasAgreesWithReference) {
  for (const AttentionCase& c : cases(attention_cases())) {
    for (const DType dtype : supported(backend(), kDTypes)) {
      if (!c.bias || !is_run(c, dtype)) continue;
      const float rate = rate_of(c, dtype);
      SCOPED_TRACE(testing::Message() << name_of(c) << ", " << dtype_name(dtype) << ", dropout " << rate);
      const Wanted& wanted = wanted_of(c, dtype, rate);
      const Errors errors(wanted, dtype);
      const Rows masses = diagonal_masses(wanted);
      const double tokens = static_cast<double>(wanted.inputs.qkv.rows());
      expect_close(wanted.backward->dbias(backend()), *wanted.dbias, [&](int64_t head, int64_t i) {
        return 1.001 * masses.at(head, i) * (errors.score + 4 * errors.size * kUnit * tokens) + 1e-30;
      });
    }
  }
}

TEST_P(AttentionGradientTest, TextsAreIndependentBitForBit) {
  for (const AttentionCase& c : cases(attention_cases())) {
    for (const DType dtype : supported(backend(), kDTypes)) {
      if (!is_run(c, dtype)) continue;
      const float rate = rate_of(c, dtype);
      SCOPED_TRACE(testing::Message() << name_of(c) << ", " << dtype_name(dtype) << ", dropout " << rate);
      const Wanted& wanted = wanted_of(c, dtype, rate);
      const Backward& backward = *wanted.backward;
      const int64_t texts = wanted.inputs.texts();
      const Rows all = backward.dqkv(backend());
      for (const Order order : {Order::kShuffled, Order::kThreads})
        expect_same_bits(backward.dqkv(backend(), 0, texts, order), all);
      for (int64_t text = 0; text < texts && texts > 1; ++text) {
        const int64_t begin = wanted.inputs.offsets[static_cast<size_t>(text)];
        expect_same_bits(backward.dqkv(backend(), text, text + 1), all, begin);
        expect_same_bits(backward.dqkv(backend(), text, texts), all, begin);
      }
    }
  }
}

// The chain of an element goes on from one call to the next, so texts may be divided among calls.
TEST_P(AttentionGradientTest, BiasIsOneChainHoweverTextsAreDivided) {
  for (const AttentionCase& c : cases(attention_cases())) {
    for (const DType dtype : supported(backend(), kDTypes)) {
      if (!c.bias || !is_run(c, dtype)) continue;
      const float rate = rate_of(c, dtype);
      SCOPED_TRACE(testing::Message() << name_of(c) << ", " << dtype_name(dtype) << ", dropout " << rate);
      const Backward& backward = *wanted_of(c, dtype, rate).backward;
      const int64_t texts = backward.inputs.texts();
      const Rows all = backward.dbias(backend());
      for (const Order order : {Order::kShuffled, Order::kThreads}) {
        Rows other = backward.no_dbias();
        backward.add_dbias(other, backend(), 0, texts, order);
        expect_same_bits(other, all);
      }
      for (int64_t text = 1; text < texts; ++text) {
        Rows divided = backward.no_dbias();
        backward.add_dbias(divided, backend(), 0, text);
        backward.add_dbias(divided, backend(), text, texts);
        expect_same_bits(divided, all);
      }
    }
  }
}

TEST_P(AttentionGradientTest, NonFiniteGradientStaysInItsText) {
  const AttentionCase c{{20, 7, 60}, 2, 1, 16, Mask::kBidirectional, 0, {}, 16, HeadNorms::kNone, true};
  const Inputs inputs(c);
  for (const DType dtype : supported(backend(), kDTypes)) {
    Backward backward(inputs, dtype);
    const Rows clean = backward.dqkv(backend());
    for (const float value : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      SCOPED_TRACE(testing::Message() << value << ", " << dtype_name(dtype));
      Backward spoiled(inputs, dtype,
                       {Rows(backward.forward.qkv), Rows(backward.forward.y), Rows(backward.forward.lse)});
      spoiled.dy.at(22, 16 + 3) = value;  // of head 1
      const Rows got = spoiled.dqkv(backend());
      for (int64_t row = 0; row < got.rows(); ++row) {
        if (row >= 20 && row < 27) continue;
        for (int64_t d = 0; d < got.width(); ++d)
          ASSERT_EQ(std::bit_cast<uint32_t>(got.at(row, d)), std::bit_cast<uint32_t>(clean.at(row, d)))
              << "row " << row;
      }
      for (int64_t row = 20; row < 27; ++row) {
        EXPECT_FALSE(std::isfinite(got.at(row, 48 + 3))) << "the value of row " << row;  // all keys are seen
        EXPECT_EQ(got.at(row, 5), clean.at(row, 5)) << "the query of head 0, row " << row;
      }
      EXPECT_FALSE(std::isfinite(got.at(22, 16 + 5)));
    }
  }
}

TEST_P(AttentionGradientTest, NoTextsAndNoTokens) {
  for (const std::vector<int32_t>& lengths : {std::vector<int32_t>{0}, std::vector<int32_t>{0, 0, 0}}) {
    const Inputs inputs({lengths, 2, 1, 16, Mask::kCausal, 0, {}, 0, HeadNorms::kNone, true});
    const Backward backward(inputs, DType::kF32);
    EXPECT_EQ(backward.dqkv(backend()).rows(), 0);
    backward.dbias(backend()).each([](float value) {
      EXPECT_EQ(value, 0);
      return value;
    });
  }
}

TEST_P(AttentionGradientTest, RefusesWithASentence) {
  const Inputs inputs({{3, 2}, 2, 1, 4, Mask::kBidirectional, 0, {}, 0, HeadNorms::kNone, true});
  const Backward backward(inputs, DType::kF32);
  using Change = std::function<void(AttentionArgs&, const float*& dy, int64_t& dy_stride, float*& result)>;
  struct Refused {
    Change change;
    std::string sentence;  // OP stands for the operation
  };
  const Refused list[] = {
      {[](AttentionArgs& a, auto&...) { a.lse = nullptr; },
       "Expected memory for the log-sum-exp of OP but received null"},
      {[](AttentionArgs&, const float*& dy, auto&...) { dy = nullptr; },
       "Expected memory for dy of OP but received null"},
      {[](AttentionArgs&, const float*&, int64_t& stride, auto&...) { stride = 7; },
       "Expected a stride of at least 8 for dy of OP but received 7"},
      {[](AttentionArgs& a, auto&...) { a.qkv = nullptr; }, "Expected memory for qkv of attention but received null"},
      {[](AttentionArgs& a, auto&...) { a.dropout.rate = 1; },
       "Expected 0 to 0.999985 for the dropout rate of attention but received 1"},
      {[](AttentionArgs& a, auto&...) { a.dropout.rate = 0.5f; },
       "Expected memory for the row keys of attention but received null"},
      {[](AttentionArgs& a, auto&...) { a.bias_reach = 1; },
       "Expected at least 2 for the reach of attention's bias but received 1"},
      {[](AttentionArgs& a, auto&...) { a.dtype = DType::kI8; }, ""},
  };
  const auto expect_refused = [&](auto operation, auto args, OpCall& call, const char* name, std::string sentence) {
    EXPECT_EQ(call.attempt(operation, args), kBadArgument);
    if (const size_t at = sentence.find("OP"); at != std::string::npos) sentence.replace(at, 2, name);
    if (!sentence.empty())
      EXPECT_EQ(call.message(), sentence);
    else
      EXPECT_STRNE(call.message(), "");
  };
  const Backward::Copies copies(backward, backend(), 0, 2);
  for (const auto& [change, sentence] : list) {
    SCOPED_TRACE(sentence);
    Rows dqkv(5, 16), dbias = backward.no_dbias();
    const Rows before = dqkv;
    {
      OpCall call(backend());
      auto args = backward.arguments<AttentionGradientArgs>(call, copies);
      args.dqkv = call.out(dqkv);
      args.dqkv_stride = 16;
      change(args.forward, args.dy, args.dy_stride, args.dqkv);
      expect_refused(backend().attention_gradient, args, call, "attention_gradient", sentence);
      for (int64_t row = 0; row < 5; ++row)
        EXPECT_EQ(std::memcmp(dqkv.data(row), before.data(row), 16 * sizeof(float)), 0) << "row " << row;
    }
    OpCall call(backend());
    auto args = backward.arguments<AttentionBiasGradientArgs>(call, copies);
    args.dbias = call.out(dbias);
    change(args.forward, args.dy, args.dy_stride, args.dbias);
    expect_refused(backend().attention_bias_gradient, args, call, "attention_bias_gradient", sentence);
    expect_same_bits(dbias, backward.no_dbias());
  }
  OpCall call(backend());
  auto args = backward.arguments<AttentionGradientArgs>(call, copies);
  args.dqkv_stride = 16;
  expect_refused(backend().attention_gradient, args, call, "",
                 "Expected memory for dqkv of attention_gradient but received null");
  Rows dqkv(5, 16);
  OpCall narrow_call(backend());
  args = backward.arguments<AttentionGradientArgs>(narrow_call, copies);
  args.dqkv = narrow_call.out(dqkv);
  args.dqkv_stride = 15;
  expect_refused(backend().attention_gradient, args, narrow_call, "",
                 "Expected a stride of at least 16 for dqkv of attention_gradient but received 15");
  OpCall bias_call(backend());
  auto bias = backward.arguments<AttentionBiasGradientArgs>(bias_call, copies);
  expect_refused(backend().attention_bias_gradient, bias, bias_call, "",
                 "Expected memory for dbias of attention_bias_gradient but received null");
  Rows dbias = backward.no_dbias();
  OpCall no_bias_call(backend());
  bias = backward.arguments<AttentionBiasGradientArgs>(no_bias_call, copies);
  bias.dbias = no_bias_call.out(dbias);
  bias.forward.bias = nullptr;
  expect_refused(backend().attention_bias_gradient, bias, no_bias_call, "",
                 "Expected memory for the bias of attention_bias_gradient but received null");
}

// The gradient of what a forward pass on the same stream has just written.
struct Both {
  const Backend& backend;
  AttentionArgs forward;
  AttentionGradientArgs gradient;
};
Status run_both(Stream& stream, const Both& both) {
  const Status status = both.backend.attention(stream, both.forward);
  return status == kOk ? both.backend.attention_gradient(stream, both.gradient) : status;
}

TEST_P(AttentionGradientTest, SeesTheForwardPassBeforeIt) {
  const Inputs inputs({{20, 70}, 2, 1, 32, Mask::kCausal, 0, {}, 32});
  for (const DType dtype : supported(backend(), kDTypes)) {
    SCOPED_TRACE(dtype_name(dtype));
    const Backward backward(inputs, dtype, inputs.run(backend(), dtype));
    const Rows wanted = backward.dqkv(backend());
    const Inputs::Part part(inputs, backend(), 0, 2);
    TypedRows qkv(dtype, inputs.qkv), y(dtype, 90, 64);
    Rows lse(2, 90), dqkv(90, 128);
    OpCall call(backend());
    AttentionArgs forward = inputs.arguments(call, part, dtype);
    forward.qkv = call.out(qkv);
    forward.qkv_stride = 128;
    forward.y = call.out(y);
    forward.y_stride = 64;
    forward.lse = call.out(lse);
    const AttentionGradientArgs gradient{
        .forward = forward, .dy = call.in(backward.dy), .dy_stride = 64, .dqkv = call.out(dqkv), .dqkv_stride = 128};
    call.run(&run_both, Both{backend(), forward, gradient});
    expect_same_bits(dqkv, wanted);
  }
}

}  // namespace
}  // namespace embedcore::test
