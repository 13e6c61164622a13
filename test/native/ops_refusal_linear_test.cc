// ops/checks.h of what training needs of linear layers, on the backends that train.
#include "op_refusal.h"
#include "ops/dropout.h"
#include "ops/linear.h"
#include "packed_weights.h"

namespace embedcore::test {
namespace {

class LinearRefusalTest : public RefusalTest {
 protected:
  void SetUp() override {
    if (!backend().dropout) GTEST_SKIP() << backend().name << " does not train";
  }

  // Two parts of valid arguments, and their middles.
  LoraPart part(OpCall& call, int64_t first, int64_t count) {
    return {.first = first,
            .count = count,
            .rank = 2,
            .a = call.in(x_),
            .b = call.in(x_),
            .scale = 1,
            .middle = call.out(middle_[first > 0]),
            .dropout = {.rate = 0.5f, .rows = call.in(keys_)}};
  }

  std::vector<RowKey> keys_ = {{0, 0}, {0, 1}, {1, 0}};
  std::vector<float> weight_ = std::vector<float>(12 * 8, 1.0f);
  Rows middle_[2] = {Rows(3, 2), Rows(3, 2)};
  LoraPart parts_[kMostLoraParts + 1];
};
EMBEDCORE_EVERY_BACKEND(LinearRefusalTest);

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

TEST_P(LinearRefusalTest, Dropout) {
  std::vector<std::pair<Change<DropoutArgs>, std::string>> changes = {
      {[](DropoutArgs& a) { a.x = nullptr; }, "Expected memory for x of dropout but received null"},
      {[](DropoutArgs& a) { a.y = nullptr; }, "Expected memory for y of dropout but received null"},
      {[](DropoutArgs& a) { a.rows = -1; }, "Expected at least 0 for rows of dropout but received -1"},
      {[](DropoutArgs& a) { a.width = -1; }, "Expected at least 0 for the width of dropout but received -1"},
      {[](DropoutArgs& a) { a.x_stride = 11; }, "Expected a stride of at least 12 for x of dropout but received 11"},
      {[](DropoutArgs& a) { a.y_stride = 11; }, "Expected a stride of at least 12 for y of dropout but received 11"},
      {[](DropoutArgs& a) { a.dropout.rate = 1; },
       "Expected 0 to 0.999985 for the dropout rate of dropout but received 1"},
      {[](DropoutArgs& a) { a.dropout.rate = -0.25f; },
       "Expected 0 to 0.999985 for the dropout rate of dropout but received -0.25"},
      {[](DropoutArgs& a) { a.dropout.rate = kNaN; },
       "Expected 0 to 0.999985 for the dropout rate of dropout but received nan"},
      {[](DropoutArgs& a) { a.dropout.rows = nullptr; },
       "Expected memory for the row keys of dropout but received null"},
  };
  add_dtypes(changes, &DropoutArgs::dtype, "x and y of dropout");
  expect_refused<DropoutArgs>(
      backend().dropout,
      [&](OpCall& call, Rows& y) {
        return DropoutArgs{.x = call.in(x_),
                           .x_stride = 24,
                           .y = call.out(y),
                           .y_stride = 12,
                           .rows = 3,
                           .width = 12,
                           .dropout = {.rate = 0.5f, .rows = call.in(keys_)}};
      },
      changes);
}

// What both directions refuse of the parts.
template <typename Args>
std::vector<std::pair<std::function<void(Args&)>, std::string>> part_changes(LoraPart* parts, const std::string& op) {
  const auto of = [&](const std::string& begin, const std::string& end) { return begin + " of " + op + end; };
  return {
      {[](Args& a) { a.lora = nullptr; }, "Expected memory for the LoRA parts of " + op + " but received null"},
      {[](Args& a) { a.lora_parts = -1; }, "Expected 0 to 8 LoRA parts for " + op + " but received -1"},
      {[](Args& a) { a.lora_parts = 9; }, "Expected 0 to 8 LoRA parts for " + op + " but received 9"},
      {[=](Args&) { parts[1].rank = 0; }, of("Expected at least 1 for the rank of a LoRA part", " but received 0")},
      {[=](Args&) { parts[1].count = 0; }, of("Expected at least 1 for the columns of a LoRA part", " but received 0")},
      {[=](Args&) { parts[0].first = -1; },
       of("Expected at least 0 for the first column of a LoRA part", " but received -1")},
      {[=](Args&) { parts[1].first = 9; }, of("Expected columns up to 12 for a LoRA part", " but received 9 to 13")},
      {[=](Args&) { parts[1].first = 4; },
       of("Expected LoRA parts", " that do not overlap but received two with column 4")},
      {[=](Args&) { parts[0].a = nullptr; }, of("Expected memory for A of a LoRA part", " but received null")},
      {[=](Args&) { parts[1].b = nullptr; }, of("Expected memory for B of a LoRA part", " but received null")},
      {[=](Args&) { parts[1].dropout.rate = 1.5f; },
       of("Expected 0 to 0.999985 for the dropout rate", " but received 1.5")},
      {[=](Args&) { parts[1].dropout.rows = nullptr; }, of("Expected memory for the row keys", " but received null")},
  };
}

TEST_P(LinearRefusalTest, Linear) {
  const PackedWeights packed(backend(), {.weight = weight_.data(), .in = 8, .out = 12});
  auto changes = part_changes<LinearArgs>(parts_, "linear");
  changes.push_back({[](LinearArgs& a) { a.dropout.rate = 1; },
                     "Expected 0 to 0.999985 for the dropout rate of linear but received 1"});
  changes.push_back({[](LinearArgs& a) { a.dropout.rows = nullptr; },
                     "Expected memory for the row keys of linear but received null"});
  expect_refused<LinearArgs>(
      backend().linear,
      [&](OpCall& call, Rows& y) {
        parts_[0] = part(call, 0, 5);
        parts_[1] = part(call, 6, 4);
        return LinearArgs{.weights = packed.weights,
                          .x = call.in(x_),
                          .x_stride = 24,
                          .y = call.out(y),
                          .y_stride = 12,
                          .rows = 3,
                          .lora = parts_,
                          .lora_parts = 2,
                          .dropout = {.rate = 0.5f, .rows = call.in(keys_)}};
      },
      changes);
}

TEST_P(LinearRefusalTest, InputGradient) {
  const PackedWeights forward(backend(), {.weight = weight_.data(), .in = 8, .out = 12}),
      packed(backend(), {.weight = weight_.data(), .in = 8, .out = 12, .use = LinearUse::kForwardAndBackward});
  using Args = LinearInputGradientArgs;
  auto changes = part_changes<Args>(parts_, "linear_input_gradient");
  const std::vector<std::pair<Change<Args>, std::string>> own = {
      {[](Args& a) { a.weights = nullptr; },
       "Expected memory for the weights of linear_input_gradient but received null"},
      {[&](Args& a) { a.weights = forward.weights; },
       "Expected weights packed for the backward pass for linear_input_gradient but received weights for the forward "
       "one"},
      {[](Args& a) { a.rows = -1; }, "Expected at least 0 for rows of linear_input_gradient but received -1"},
      {[](Args& a) { a.dz = nullptr; }, "Expected memory for dz of linear_input_gradient but received null"},
      {[](Args& a) { a.dx = nullptr; }, "Expected memory for dx of linear_input_gradient but received null"},
      {[](Args& a) { a.dz_stride = 11; },
       "Expected a stride of at least 12 for dz of linear_input_gradient but received 11"},
      {[](Args& a) { a.dx_stride = 7; },
       "Expected a stride of at least 8 for dx of linear_input_gradient but received 7"},
      {[&](Args&) { parts_[1].middle = nullptr; },
       "Expected memory for the middle of a LoRA part of linear_input_gradient but received null"},
  };
  changes.insert(changes.end(), own.begin(), own.end());
  expect_refused<Args>(
      backend().linear_input_gradient,
      [&](OpCall& call, Rows& y) {
        parts_[0] = part(call, 0, 5);
        parts_[1] = part(call, 6, 4);
        return Args{.weights = packed.weights,
                    .dz = call.in(x_),
                    .dz_stride = 24,
                    .dx = call.out(y),
                    .dx_stride = 12,
                    .rows = 3,
                    .lora = parts_,
                    .lora_parts = 2};
      },
      changes);
}

TEST_P(LinearRefusalTest, WeightGradient) {
  using Args = LinearWeightGradientArgs;
  std::vector<std::pair<Change<Args>, std::string>> changes = {
      {[](Args& a) { a.x = nullptr; }, "Expected memory for x of linear_weight_gradient but received null"},
      {[](Args& a) { a.dz = nullptr; }, "Expected memory for dz of linear_weight_gradient but received null"},
      {[](Args& a) { a.rows = -2; }, "Expected at least 0 for rows of linear_weight_gradient but received -2"},
      {[](Args& a) { a.in = 0; }, "Expected at least 1 for inputs of linear_weight_gradient but received 0"},
      {[](Args& a) { a.out = 0; }, "Expected at least 1 for outputs of linear_weight_gradient but received 0"},
      {[](Args& a) { a.x_stride = 3; },
       "Expected a stride of at least 4 for x of linear_weight_gradient but received 3"},
      {[](Args& a) { a.dz_stride = 8; },
       "Expected a stride of at least 9 for dz of linear_weight_gradient but received 8"},
      {[](Args& a) { a.dtype = DType::kI8; },
       "Expected float32 or bfloat16 for the arithmetic of linear_weight_gradient but received int8"},
      {[](Args& a) { a.dtype = DType::kF16; },
       "Expected float32 or bfloat16 for the arithmetic of linear_weight_gradient but received float16"},
  };
  add_dtypes(changes, &Args::x_dtype, "x of linear_weight_gradient");
  expect_refused<Args>(
      backend().linear_weight_gradient,
      [&](OpCall& call, Rows& y) {
        y.each([](float) { return 0.0f; });
        return Args{.x = call.in(x_),
                    .x_stride = 24,
                    .dz = call.in(x_),
                    .dz_stride = 24,
                    .rows = 3,
                    .in = 4,
                    .out = 9,
                    .dweight = call.out(y)};
      },
      changes);
}

TEST_P(LinearRefusalTest, Repacking) {
  const LinearWeights from{.weight = weight_.data(), .in = 8, .out = 12};
  const PackedWeights forward(backend(), from);
  OpCall call(backend());
  struct Repack {
    const Backend& backend;
    PackedLinear* packed;
    const float* weight;
  };
  Status (*const run)(Stream&, const Repack&) = [](Stream& stream, const Repack& r) {
    return r.backend.repack_linear(stream, r.packed, r.weight, nullptr);
  };
  EXPECT_EQ(call.attempt(run, {backend(), forward.weights, call.in(weight_)}), kBadArgument);
  EXPECT_STREQ(call.message(),
               "Expected weights packed for the backward pass for repack_linear but received weights for the forward "
               "one");
  EXPECT_EQ(call.attempt(run, {backend(), nullptr, call.in(weight_)}), kBadArgument);
  EXPECT_STREQ(call.message(), "Expected memory for the weights of repack_linear but received null");
}

}  // namespace
}  // namespace embedcore::test
