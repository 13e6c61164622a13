// The bounds that native/cpu/math.h states, measured against float64 over dense grids through the operations of each
// instruction set, so that the shipped code is measured. exp is measured through a softmax over two keys, the
// activations through the ungated activation. In bfloat16, where faster functions are used, the grid is the set of all
// numbers.
#include <limits>
#include <numbers>

#include "op_support.h"
#include "ops/activation.h"
#include "reference/activation.h"

namespace embedcore::test {
namespace {

class MathTest : public OpTest {};
EMBEDCORE_EVERY_HOST_BACKEND(MathTest);

std::vector<float> row_of(const TypedRows& rows) {
  const Rows values = rows.values();
  return {values.data(), values.data() + values.width()};
}

// activation(x) for each x.
std::vector<float> activated(const Backend& backend, Activation activation, const std::vector<float>& x,
                             DType dtype = DType::kF32) {
  const auto width = static_cast<int64_t>(x.size());
  Rows row(1, width);
  for (int64_t i = 0; i < width; ++i) row.at(0, i) = x[static_cast<size_t>(i)];
  const TypedRows in(dtype, row);
  TypedRows y(dtype, 1, width);
  TestStream stream;
  expect_ok(backend.activation(stream, {.x = in.data(),
                                        .x_stride = width,
                                        .y = y.data(),
                                        .y_stride = width,
                                        .rows = 1,
                                        .width = width,
                                        .activation = activation,
                                        .dtype = dtype}),
            stream);
  return row_of(y);
}

// exp(-distance) for each distance: a query 1 sees the keys 0 and -distance, with the values 0 and 1. Divided by the
// sum of the weights, which is 1 exactly from a distance of 17 on.
std::vector<float> exp_over_sum(const Backend& backend, const std::vector<float>& distances,
                                DType dtype = DType::kF32) {
  const auto texts = static_cast<int64_t>(distances.size());
  Rows rows(2 * texts, 3);
  std::vector<int32_t> offsets = {0};
  rows.each([](float) { return 1.0f; });
  for (int64_t i = 0; i < texts; ++i) {
    rows.at(2 * i, 1) = rows.at(2 * i, 2) = 0;
    rows.at(2 * i + 1, 1) = -distances[static_cast<size_t>(i)];
    offsets.push_back(offsets.back() + 2);
  }
  TypedRows qkv(dtype, rows), y(dtype, 2 * texts, 1);
  TestStream stream;
  expect_ok(backend.attention(stream, {.qkv = qkv.data(),
                                       .qkv_stride = 3,
                                       .y = y.data(),
                                       .y_stride = 1,
                                       .offsets = offsets.data(),
                                       .texts = texts,
                                       .longest = 2,
                                       .heads = 1,
                                       .kv_heads = 1,
                                       .head_dim = 1,
                                       .scale = 1.0f,
                                       .dtype = dtype}),
            stream);
  const Rows weighed = y.values();
  std::vector<float> first;
  for (int64_t i = 0; i < texts; ++i) first.push_back(weighed.at(2 * i, 0));
  return first;
}

// Every finite bfloat16 from low to high.
std::vector<float> every_bf16(float low, float high) {
  std::vector<float> x;
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = bf16_to_f32(static_cast<uint16_t>(bits));
    if (std::isfinite(value) && value >= low && value <= high) x.push_back(value);
  }
  return x;
}

std::vector<float> grid(double low, double high, int points) {
  std::vector<float> x;
  for (int i = 0; i <= points; ++i) x.push_back(static_cast<float>(low + (high - low) * i / points));
  return x;
}

// Spacing of the floats around a value.
double ulp(double value) {
  const float size = static_cast<float>(std::abs(value));
  return static_cast<double>(std::nextafter(size, std::numeric_limits<float>::infinity())) - static_cast<double>(size);
}

struct Worst {
  double error = 0, at = 0;
  void see(double error_here, double x) {
    if (!(error_here <= error)) error = error_here, at = x;  // a NaN is the worst
  }
};

constexpr int kPoints = 400000;

TEST_P(MathTest, ExpIsWithinItsBound) {
  const std::vector<float> x = grid(17, 87.3, kPoints);
  const std::vector<float> y = exp_over_sum(backend(), x);
  Worst worst;
  for (size_t i = 0; i < x.size(); ++i) {
    const double wanted = std::exp(-static_cast<double>(x[i]));
    worst.see(std::abs(y[i] - wanted) / ulp(wanted), x[i]);
  }
  RecordProperty("exp_ulp", std::to_string(worst.error));
  EXPECT_LE(worst.error, 1.5) << "at " << -worst.at;
}

// Near zero the sum of the weights, its reciprocal and the product are rounded too, half an ulp each that can count
// twice where the result has just passed a power of two; and the sum carries up to half of exp's error.
TEST_P(MathTest, ExpNearZeroIsWithinItsBoundAndTheSum) {
  const std::vector<float> x = grid(0, 17, kPoints);
  const std::vector<float> y = exp_over_sum(backend(), x);
  Worst worst;
  for (size_t i = 0; i < x.size(); ++i) {
    const double e = std::exp(-static_cast<double>(x[i]));
    worst.see(std::abs(y[i] - e / (1 + e)) / ulp(e / (1 + e)), x[i]);
  }
  RecordProperty("exp_over_sum_ulp", std::to_string(worst.error));
  EXPECT_LE(worst.error, 1.5 + 0.75 + 3) << "at " << -worst.at;
}

// Keys far below the greatest score have almost no weight.
TEST_P(MathTest, ExpIsClampedBelow) {
  for (const float y : exp_over_sum(
           backend(), {87.4f, 88.0f, 104.0f, 1000.0f, 1e30f, 3.4e38f, std::numeric_limits<float>::infinity()})) {
    EXPECT_GE(y, 0.0f);
    EXPECT_LE(y, 1.2e-38f);
  }
}

TEST_P(MathTest, TanhIsWithinItsBound) {
  Worst worst;
  for (const auto& [low, high] : {std::pair{-10.0, 10.0}, {-0.7, 0.7}, {-1e-3, 1e-3}, {-90.0, 90.0}}) {
    const std::vector<float> x = grid(low, high, kPoints);
    const std::vector<float> y = activated(backend(), Activation::kTanh, x);
    for (size_t i = 0; i < x.size(); ++i) {
      const double wanted = std::tanh(static_cast<double>(x[i]));
      worst.see(std::abs(y[i] - wanted) / ulp(wanted), x[i]);
      ASSERT_LE(std::abs(y[i]), 1.0f) << x[i];
    }
  }
  RecordProperty("tanh_ulp", std::to_string(worst.error));
  EXPECT_LE(worst.error, 2) << "at " << worst.at;
}

// erf is measured through gelu(x) = x / 2 (1 + erf(x / sqrt 2)), whose sum and product are rounded too.
TEST_P(MathTest, ErfIsWithinItsBound) {
  Worst worst;
  for (const auto& [low, high] : {std::pair{-6.0, 6.0}, {-0.1, 0.1}, {-50.0, 50.0}}) {
    const std::vector<float> x = grid(low, high, kPoints);
    const std::vector<float> y = activated(backend(), Activation::kGelu, x);
    for (size_t i = 0; i < x.size(); ++i) {
      if (x[i] == 0) continue;
      const double erf = 2 * y[i] / static_cast<double>(x[i]) - 1;
      const double rounding = 2 * kUnit * (erf + 1);
      worst.see(std::abs(erf - std::erf(static_cast<double>(x[i]) / std::numbers::sqrt2)) - rounding, x[i]);
    }
  }
  RecordProperty("erf_absolute", std::to_string(worst.error * 1e9) + "e-9");
  EXPECT_LE(worst.error, 5e-7) << "at " << worst.at;
}

// The bounds that the other tests of the operations use (op_support.h).
TEST_P(MathTest, ActivationsAreWithinTheirBounds) {
  for (const Activation activation : kEveryActivation) {
    Worst worst;
    for (const auto& [low, high] : {std::pair{-8.0, 8.0}, {-0.05, 0.05}, {-100.0, 100.0}, {-1e4, 1e4}}) {
      const std::vector<float> x = grid(low, high, kPoints / 4);
      const std::vector<float> y = activated(backend(), activation, x);
      for (size_t i = 0; i < x.size(); ++i) {
        const double wanted = reference::activate(activation, x[i]);
        const double allowed = activation_error(activation, x[i]) + 0.5 * ulp(wanted);
        worst.see(std::abs(y[i] - wanted) / allowed, x[i]);
      }
    }
    SCOPED_TRACE(testing::Message() << "activation " << static_cast<int>(activation));
    RecordProperty("activation_" + std::to_string(static_cast<int>(activation)), std::to_string(worst.error));
    EXPECT_LE(worst.error, 1) << "of the bound, at " << worst.at;
  }
}

TEST_P(MathTest, ActivationsInBfloat16AreWithinTheirBounds) {
  constexpr float kMost = std::numeric_limits<float>::max();
  const std::vector<float> x = every_bf16(-kMost, kMost);
  for (const Activation activation : kEveryActivation) {
    const std::vector<float> y = activated(backend(), activation, x, DType::kBF16);
    Worst worst;
    for (size_t i = 0; i < x.size(); ++i) {
      const double wanted = reference::activate(activation, x[i]);
      const double error = activation_error(backend(), activation, x[i], DType::kBF16) + kUnit * std::abs(wanted);
      worst.see(std::abs(y[i] - wanted) / (error + bf16_rounding(std::abs(wanted) + error)), x[i]);
    }
    RecordProperty("bfloat16_activation_" + std::to_string(static_cast<int>(activation)), std::to_string(worst.error));
    EXPECT_LE(worst.error, 1) << "of the bound, activation " << static_cast<int>(activation) << " at " << worst.at;
  }
}

// e / (1 + e): the 2^-10 of exp and the 2^-8 of a weight's rounding, both once in the weight and once in the sum, and
// the result's rounding. exp's clamp leaves almost nothing of larger distances.
TEST_P(MathTest, ExpInBfloat16IsWithinItsBound) {
  const std::vector<float> x = every_bf16(0, std::numeric_limits<float>::max());
  const std::vector<float> y = exp_over_sum(backend(), x, DType::kBF16);
  Worst worst;
  for (size_t i = 0; i < x.size(); ++i) {
    const double e = std::exp(-static_cast<double>(x[i])), wanted = e / (1 + e);
    worst.see(std::abs(y[i] - wanted) / (wanted * (2 * 0x1p-10 + 3 * kBf16Unit) + 1.3e-38), x[i]);
  }
  RecordProperty("bfloat16_exp", std::to_string(worst.error));
  EXPECT_LE(worst.error, 1) << "of the bound, at " << -worst.at;
}

TEST_P(MathTest, ActivationsOfTheEndsOfTheLine) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const float huge : {200.0f, 1e6f, 3e38f, kInfinity}) {
    SCOPED_TRACE(huge);
    EXPECT_EQ(activated(backend(), Activation::kTanh, {huge, -huge}), (std::vector<float>{1, -1}));
    EXPECT_EQ(activated(backend(), Activation::kSigmoid, {huge})[0], 1.0f);
    EXPECT_LE(activated(backend(), Activation::kSigmoid, {-huge})[0], 1e-37f);
    EXPECT_EQ(activated(backend(), Activation::kRelu, {huge, -huge}), (std::vector<float>{huge, 0}));
    EXPECT_EQ(activated(backend(), Activation::kSilu, {huge})[0], huge);
    EXPECT_EQ(activated(backend(), Activation::kGelu, {huge})[0], huge);
    EXPECT_EQ(activated(backend(), Activation::kGeluTanh, {huge})[0], huge);
  }
  for (const float huge : {10.0f, 200.0f, 1e6f, 3e37f}) {
    SCOPED_TRACE(huge);
    EXPECT_EQ(activated(backend(), Activation::kGelu, {-huge})[0], 0.0f);
    EXPECT_EQ(activated(backend(), Activation::kGeluTanh, {-huge})[0], 0.0f);
  }
}

}  // namespace
}  // namespace embedcore::test
