// A backend without the operations of training says so: it takes no weights for a backward pass, and computes no
// dropout.
#include "attention_inputs.h"
#include "linear_inputs.h"
#include "op_support.h"
#include "ops/attention.h"
#include "ops/linear.h"

namespace embedcore::test {
namespace {

bool has_training(const Backend& backend) {
#define EMBEDCORE_IS_THERE(name, Args) backend.name != nullptr ||
  return EMBEDCORE_TRAINING_OPS(EMBEDCORE_IS_THERE) backend.repack_linear != nullptr;
#undef EMBEDCORE_IS_THERE
}

class WithoutTrainingTest : public OpTest {
 protected:
  void SetUp() override {
    if (has_training(backend())) GTEST_SKIP() << backend().name << " has operations of training";
  }
};
EMBEDCORE_EVERY_BACKEND(WithoutTrainingTest);

TEST_P(WithoutTrainingTest, WeightsForABackwardPassAreRefused) {
  const std::vector<float> weight(12 * 8, 1.0f);
  for (const DType dtype : supported(backend(), kArithmetics)) {
    const LinearUse use = LinearUse::kForwardAndBackward;
    const PackedWeights packed(backend(), {.weight = weight.data(), .in = 8, .out = 12, .dtype = dtype, .use = use});
    EXPECT_EQ(packed.status, kBadArgument) << dtype_name(dtype);
    EXPECT_EQ(packed.weights, nullptr) << dtype_name(dtype);
  }
}

TEST_P(WithoutTrainingTest, DropoutOfLinearAndOfItsPartsIsRefused) {
  const std::vector<float> weight(12 * 8, 1.0f);
  const PackedWeights packed(backend(), {.weight = weight.data(), .in = 8, .out = 12});
  ASSERT_EQ(packed.status, kOk);
  const Rows x = std::move(Rows(3, 8).each([](float) { return 0.5f; }));
  const std::vector<float> a(8, 1.0f), b(12, 1.0f);
  const std::vector<RowKey> keys(3);
  const auto refused = [&](int32_t parts, float rate) {
    Rows y(3, 12);
    y.each([](float) { return -7.0f; });
    OpCall call(backend());
    const LoraPart part{.first = 0,
                        .count = 12,
                        .rank = 1,
                        .a = call.in(a),
                        .b = call.in(b),
                        .scale = 1,
                        .dropout = {.rate = rate, .rows = call.in(keys)}};
    EXPECT_EQ(call.attempt(backend().linear, LinearArgs{.weights = packed.weights,
                                                        .x = call.in(x),
                                                        .x_stride = 8,
                                                        .y = call.out(y),
                                                        .y_stride = 12,
                                                        .rows = 3,
                                                        .lora = parts > 0 ? &part : nullptr,
                                                        .lora_parts = parts,
                                                        .dropout = {.rate = parts > 0 ? 0 : rate}}),
              kBadArgument);
    EXPECT_NE(std::string(call.message()).find("on this backend"), std::string::npos) << call.message();
    for (int64_t row = 0; row < 3; ++row)
      for (int64_t column = 0; column < 12; ++column) EXPECT_EQ(y.at(row, column), -7.0f);
  };
  refused(1, 0.5f);
  refused(0, 0.5f);
}

TEST_P(WithoutTrainingTest, DropoutOfAttentionIsRefused) {
  Inputs inputs({{5}, 1, 1, 8});
  Rows y(5, 8);
  const std::vector<int32_t> plan = Inputs::plan_of(backend(), inputs.offsets);
  OpCall call(backend());
  EXPECT_EQ(call.attempt(backend().attention, AttentionArgs{.qkv = call.out(inputs.qkv),
                                                            .qkv_stride = inputs.qkv.stride(),
                                                            .y = call.out(y),
                                                            .y_stride = y.stride(),
                                                            .offsets = call.in(inputs.offsets),
                                                            .texts = 1,
                                                            .longest = 5,
                                                            .plan = plan.empty() ? nullptr : call.in(plan),
                                                            .host_plan = plan.empty() ? nullptr : plan.data(),
                                                            .heads = 1,
                                                            .kv_heads = 1,
                                                            .head_dim = 8,
                                                            .scale = 1,
                                                            .dropout = {.rate = 0.25f}}),
            kBadArgument);
  EXPECT_NE(std::string(call.message()).find("on this backend"), std::string::npos) << call.message();
}

}  // namespace
}  // namespace embedcore::test
