// What the gradients of operations on rows and the optimiser refuse, on every backend that has them.
#include "gradient_check.h"
#include "op_refusal.h"
#include "ops/activation.h"
#include "ops/embed.h"
#include "ops/norm.h"
#include "ops/optimizer.h"
#include "ops/pool.h"
#include "ops/vectors.h"

namespace embedcore::test {
namespace {

class RowGradientRefusalTest : public RefusalTest {
 protected:
  // The inputs of every call.
  Rows x_ = std::move(Rows(3, 24).each([](float) { return 0.5f; }));
  std::vector<int32_t> offsets_ = {0, 1, 3}, ids_ = {0, 1, 2};
};
EMBEDCORE_EVERY_BACKEND(RowGradientRefusalTest);

TEST_P(RowGradientRefusalTest, Norm) {
  EMBEDCORE_NEEDS(norm_gradient);
  using Args = NormGradientArgs;
  const auto valid = [&](OpCall& call, Rows& y) {
    return Args{.x = call.in(x_),
                .x_stride = 24,
                .dy = call.in(x_),
                .dy_stride = 24,
                .dx = call.out(y),
                .dx_stride = 12,
                .rows = 3,
                .width = 12,
                .mean = call.in(x_),
                .rstd = call.in(x_)};
  };
  expect_refused<Args>(
      backend().norm_gradient, valid,
      {
          {[](Args& a) { a.x = nullptr; }, "Expected memory for x of norm_gradient but received null"},
          {[](Args& a) { a.dy = nullptr; }, "Expected memory for dy of norm_gradient but received null"},
          {[](Args& a) { a.dx = nullptr; }, "Expected memory for dx of norm_gradient but received null"},
          {[](Args& a) { a.mean = nullptr; }, "Expected memory for the means of norm_gradient but received null"},
          {[](Args& a) { a.rstd = nullptr; }, "Expected memory for the deviations of norm_gradient but received null"},
          {[](Args& a) { a.rows = -1; }, "Expected at least 0 for rows of norm_gradient but received -1"},
          {[](Args& a) { a.width = -2; }, "Expected at least 0 for the width of norm_gradient but received -2"},
          {[](Args& a) { a.x_stride = 11; }, "Expected a stride of at least 12 for x of norm_gradient but received 11"},
          {[](Args& a) { a.dy_stride = 0; }, "Expected a stride of at least 12 for dy of norm_gradient but received 0"},
          {[](Args& a) { a.dx_stride = 11; },
           "Expected a stride of at least 12 for dx of norm_gradient but received 11"},
          {[](Args& a) { a.kind = static_cast<NormKind>(2); },
           "Expected 0 to 1 for the kind of norm_gradient but received 2"},
      });
}

TEST_P(RowGradientRefusalTest, NormWeight) {
  EMBEDCORE_NEEDS(norm_weight_gradient);
  using Args = NormWeightGradientArgs;
  const auto valid = [&](OpCall& call, Rows& y) {
    y.each([](float) { return 0.0f; });
    return Args{.x = call.in(x_),
                .x_stride = 24,
                .dy = call.in(x_),
                .dy_stride = 24,
                .rows = 3,
                .width = 12,
                .mean = call.in(x_),
                .rstd = call.in(x_),
                .dweight = call.out(y)};
  };
  expect_refused<Args>(
      backend().norm_weight_gradient, valid,
      {
          {[](Args& a) { a.x = nullptr; }, "Expected memory for x of norm_weight_gradient but received null"},
          {[](Args& a) { a.dy = nullptr; }, "Expected memory for dy of norm_weight_gradient but received null"},
          {[](Args& a) { a.mean = nullptr; },
           "Expected memory for the means of norm_weight_gradient but received null"},
          {[](Args& a) { a.rstd = nullptr; },
           "Expected memory for the deviations of norm_weight_gradient but received null"},
          {[](Args& a) { a.rows = -1; }, "Expected at least 0 for rows of norm_weight_gradient but received -1"},
          {[](Args& a) { a.width = -2; }, "Expected at least 0 for the width of norm_weight_gradient but received -2"},
          {[](Args& a) { a.x_stride = 11; },
           "Expected a stride of at least 12 for x of norm_weight_gradient but received 11"},
          {[](Args& a) { a.dy_stride = 11; },
           "Expected a stride of at least 12 for dy of norm_weight_gradient but received 11"},
          {[](Args& a) { a.kind = static_cast<NormKind>(-1); },
           "Expected 0 to 1 for the kind of norm_weight_gradient but received -1"},
      });
}

TEST_P(RowGradientRefusalTest, Activation) {
  EMBEDCORE_NEEDS(activation_gradient);
  using Args = ActivationGradientArgs;
  std::vector<std::pair<Change<Args>, std::string>> changes = {
      {[](Args& a) { a.x = nullptr; }, "Expected memory for x of activation_gradient but received null"},
      {[](Args& a) { a.dy = nullptr; }, "Expected memory for dy of activation_gradient but received null"},
      {[](Args& a) { a.dx = nullptr; }, "Expected memory for dx of activation_gradient but received null"},
      {[](Args& a) { a.rows = -1; }, "Expected at least 0 for rows of activation_gradient but received -1"},
      {[](Args& a) { a.width = -1; }, "Expected at least 0 for the width of activation_gradient but received -1"},
      {[](Args& a) {
         a.gated = true;
         a.x_stride = 23;
       },
       "Expected a stride of at least 24 for x of activation_gradient but received 23"},
      {[](Args& a) { a.gated = true; },
       "Expected a stride of at least 24 for dx of activation_gradient but received 12"},
      {[](Args& a) { a.dy_stride = 11; },
       "Expected a stride of at least 12 for dy of activation_gradient but received 11"},
      {[](Args& a) {
         a.y = a.dx;
         a.y_stride = 11;
       },
       "Expected a stride of at least 12 for y of activation_gradient but received 11"},
      {[](Args& a) { a.activation = static_cast<Activation>(7); },
       "Expected 0 to 6 for the activation of activation_gradient but received 7"},
  };
  add_dtypes(changes, &Args::dtype, "x and y of activation_gradient");
  expect_refused<Args>(
      backend().activation_gradient,
      [&](OpCall& call, Rows& y) {
        return Args{.x = call.in(x_),
                    .x_stride = 24,
                    .dy = call.in(x_),
                    .dy_stride = 24,
                    .dx = call.out(y),
                    .dx_stride = 12,
                    .rows = 3,
                    .width = 12};
      },
      changes);
}

TEST_P(RowGradientRefusalTest, Embed) {
  EMBEDCORE_NEEDS(embed_gradient);
  using Args = EmbedGradientArgs;
  const auto valid = [&](OpCall& call, Rows& y) {
    y.each([](float) { return 0.0f; });
    return Args{.rows = call.in(ids_),
                .starts = call.in(offsets_),
                .tokens = call.in(ids_),
                .distinct = 2,
                .width = 12,
                .dy = call.in(x_),
                .dy_stride = 24,
                .dtable = call.out(y)};
  };
  expect_refused<Args>(
      backend().embed_gradient, valid,
      {
          {[](Args& a) { a.rows = nullptr; }, "Expected memory for the rows of embed_gradient but received null"},
          {[](Args& a) { a.starts = nullptr; }, "Expected memory for the starts of embed_gradient but received null"},
          {[](Args& a) { a.tokens = nullptr; }, "Expected memory for the tokens of embed_gradient but received null"},
          {[](Args& a) { a.dtable = nullptr; }, "Expected memory for the table of embed_gradient but received null"},
          {[](Args& a) { a.dy = nullptr; }, "Expected memory for dy of embed_gradient but received null"},
          {[](Args& a) { a.dy_stride = 11; },
           "Expected a stride of at least 12 for dy of embed_gradient but received 11"},
          {[](Args& a) { a.distinct = -1; }, "Expected at least 0 for distinct rows of embed_gradient but received -1"},
          {[](Args& a) { a.width = -1; }, "Expected at least 0 for the width of embed_gradient but received -1"},
      });
}

TEST_P(RowGradientRefusalTest, Pool) {
  EMBEDCORE_NEEDS(pool_gradient);
  using Args = PoolGradientArgs;
  const auto valid = [&](OpCall& call, Rows& y) {
    return Args{.mode = Pooling::kMax,
                .x = call.in(x_),
                .x_stride = 24,
                .dy = call.in(x_),
                .dy_stride = 24,
                .dx = call.out(y),
                .dx_stride = 12,
                .offsets = call.in(offsets_),
                .texts = 2,
                .width = 12};
  };
  expect_refused<Args>(
      backend().pool_gradient, valid,
      {
          {[](Args& a) { a.x = nullptr; }, "Expected memory for x of pool_gradient but received null"},
          {[](Args& a) { a.dy = nullptr; }, "Expected memory for dy of pool_gradient but received null"},
          {[](Args& a) { a.dx = nullptr; }, "Expected memory for dx of pool_gradient but received null"},
          {[](Args& a) { a.offsets = nullptr; }, "Expected memory for the offsets of pool_gradient but received null"},
          {[](Args& a) { a.texts = -1; }, "Expected at least 0 for texts of pool_gradient but received -1"},
          {[](Args& a) { a.width = -1; }, "Expected at least 0 for the width of pool_gradient but received -1"},
          {[](Args& a) { a.x_stride = 11; }, "Expected a stride of at least 12 for x of pool_gradient but received 11"},
          {[](Args& a) { a.dy_stride = 11; },
           "Expected a stride of at least 12 for dy of pool_gradient but received 11"},
          {[](Args& a) { a.dx_stride = 11; },
           "Expected a stride of at least 12 for dx of pool_gradient but received 11"},
          {[](Args& a) { a.mode = static_cast<Pooling>(6); },
           "Expected 0 to 5 for the mode of pool_gradient but received 6"},
      });
}

TEST_P(RowGradientRefusalTest, Normalize) {
  EMBEDCORE_NEEDS(normalize_gradient);
  using Args = NormalizeGradientArgs;
  const auto valid = [&](OpCall& call, Rows& y) {
    return Args{.y = call.in(x_),
                .y_stride = 24,
                .lengths = call.in(x_),
                .dy = call.in(x_),
                .dy_stride = 24,
                .dx = call.out(y),
                .dx_stride = 12,
                .rows = 3,
                .width = 12};
  };
  expect_refused<Args>(
      backend().normalize_gradient, valid,
      {
          {[](Args& a) { a.y = nullptr; }, "Expected memory for y of normalize_gradient but received null"},
          {[](Args& a) { a.lengths = nullptr; },
           "Expected memory for the lengths of normalize_gradient but received null"},
          {[](Args& a) { a.dy = nullptr; }, "Expected memory for dy of normalize_gradient but received null"},
          {[](Args& a) { a.dx = nullptr; }, "Expected memory for dx of normalize_gradient but received null"},
          {[](Args& a) { a.rows = -1; }, "Expected at least 0 for rows of normalize_gradient but received -1"},
          {[](Args& a) { a.width = -1; }, "Expected at least 0 for the width of normalize_gradient but received -1"},
          {[](Args& a) { a.y_stride = 11; },
           "Expected a stride of at least 12 for y of normalize_gradient but received 11"},
          {[](Args& a) { a.dy_stride = 11; },
           "Expected a stride of at least 12 for dy of normalize_gradient but received 11"},
          {[](Args& a) { a.dx_stride = 11; },
           "Expected a stride of at least 12 for dx of normalize_gradient but received 11"},
      });
}

TEST_P(RowGradientRefusalTest, AxpbyAndSumSquares) {
  EMBEDCORE_NEEDS(axpby);
  EMBEDCORE_NEEDS(sum_squares);
  const auto scaled = [&](OpCall& call, Rows& y) {
    return AxpbyArgs{.x = call.in(x_), .y = call.out(y), .elements = 36};
  };
  expect_refused<AxpbyArgs>(
      backend().axpby, scaled,
      {
          {[](AxpbyArgs& a) { a.y = nullptr; }, "Expected memory for y of axpby but received null"},
          {[](AxpbyArgs& a) { a.elements = -1; }, "Expected at least 0 for elements of axpby but received -1"},
      });
  const auto summed = [&](OpCall& call, Rows& y) {
    return SumSquaresArgs{.x = call.in(x_), .elements = 72, .sum = reinterpret_cast<double*>(call.out(y))};
  };
  expect_refused<SumSquaresArgs>(
      backend().sum_squares, summed,
      {
          {[](SumSquaresArgs& a) { a.x = nullptr; }, "Expected memory for x of sum_squares but received null"},
          {[](SumSquaresArgs& a) { a.sum = nullptr; }, "Expected memory for the sum of sum_squares but received null"},
          {[](SumSquaresArgs& a) { a.elements = -1; },
           "Expected at least 0 for elements of sum_squares but received -1"},
      });
}

TEST_P(RowGradientRefusalTest, AdamW) {
  EMBEDCORE_NEEDS(adamw);
  using Args = AdamWArgs;
  Rows first(3, 12), second(3, 12);
  const auto valid = [&](OpCall& call, Rows& y) {
    y.each([](float) { return 1.0f; });
    first.each([](float) { return 0.0f; });
    second.each([](float) { return 0.0f; });
    return Args{.values = call.out(y),
                .gradients = call.in(x_),
                .first = call.out(first),
                .second = call.out(second),
                .elements = 36,
                .rate = 0.1};
  };
  const auto nan = std::numeric_limits<double>::quiet_NaN();
  expect_refused<Args>(
      backend().adamw, valid,
      {
          {[](Args& a) { a.values = nullptr; }, "Expected memory for the values of adamw but received null"},
          {[](Args& a) { a.gradients = nullptr; }, "Expected memory for the gradients of adamw but received null"},
          {[](Args& a) { a.first = nullptr; }, "Expected memory for the first moments of adamw but received null"},
          {[](Args& a) { a.second = nullptr; }, "Expected memory for the second moments of adamw but received null"},
          {[](Args& a) { a.elements = -1; }, "Expected at least 0 for elements of adamw but received -1"},
          {[](Args& a) { a.rate = -0.5; },
           "Expected a finite number of at least 0 for the rate of adamw but received -0.5"},
          {[=](Args& a) { a.rate = nan; },
           "Expected a finite number of at least 0 for the rate of adamw but received nan"},
          {[](Args& a) { a.epsilon = -1; },
           "Expected a finite number of at least 0 for epsilon of adamw but received -1"},
          {[](Args& a) { a.decay = std::numeric_limits<double>::infinity(); },
           "Expected a finite number of at least 0 for the decay of adamw but received inf"},
          {[](Args& a) { a.beta1 = 1; }, "Expected at least 0 and less than 1 for beta1 of adamw but received 1"},
          {[=](Args& a) { a.beta2 = nan; }, "Expected at least 0 and less than 1 for beta2 of adamw but received nan"},
          {[](Args& a) { a.correction1 = 0; },
           "Expected more than 0 and at most 1 for correction1 of adamw but received 0"},
          {[](Args& a) { a.correction2 = 1.5; },
           "Expected more than 0 and at most 1 for correction2 of adamw but received 1.5"},
      });
}

}  // namespace
}  // namespace embedcore::test
