// The smoothing of ops/linear.h: int8 on every backend, with inputs divided and weights multiplied before they become
// levels.
#include <functional>

#include "linear_inputs.h"

namespace embedcore::test {
namespace {

class LinearSmoothingTest : public LinearInt8OpTest {};
EMBEDCORE_EVERY_BACKEND(LinearSmoothingTest);

constexpr DType kF32 = DType::kF32, kF16 = DType::kF16, kBF16 = DType::kBF16, kI8 = DType::kI8;
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN(), kInfinity = std::numeric_limits<float>::infinity();

// One for each input, by its index.
std::vector<float> divisors(int64_t in, const std::function<float(int64_t)>& divisor) {
  std::vector<float> list;
  list.reserve(static_cast<size_t>(in));  // exactly this size, so that the address sanitizer detects a read beyond it
  for (int64_t k = 0; k < in; ++k) list.push_back(divisor(k));
  return list;
}

// Between 1/64 and 64, half of them below 1.
std::vector<float> ordinary_divisors(int64_t in) {
  Random random(static_cast<uint32_t>(in));
  return divisors(in, [&](int64_t) { return std::exp2(random.value(-6, 6)); });
}

// Quotients, products and the levels made of them are exactly defined float32 arithmetic, so the bounds are those of
// int8 without smoothing.
TEST_P(LinearSmoothingTest, AgreesWithReference) {
  for (const LinearCase& c : cases(linear_cases())) {
    LinearInputs inputs(c);
    inputs.smoothing = ordinary_divisors(c.in);
    const PackedWeights packed(backend(), inputs.weights(kI8));
    ASSERT_EQ(packed.status, kOk);
    for (const DType x : supported(backend(), kRowTypes)) {
      const LinearWanted wanted(inputs, kI8, x);
      for (const DType y : supported(backend(), kRowTypes)) {
        SCOPED_TRACE(name_of(c) + ", " + name_of({kI8, x, y}));
        expect_linear(backend(), inputs.run(backend(), packed.weights, {kI8, x, y}, 0, c.rows), inputs, wanted,
                      {kI8, x, y});
      }
    }
  }
}

TEST_P(LinearSmoothingTest, RowsAreIndependentBitForBit) {
  for (const LinearCase& c : cases(linear_cases())) {
    LinearInputs inputs(c);
    inputs.smoothing = ordinary_divisors(c.in);
    const PackedWeights packed(backend(), inputs.weights(kI8));
    for (const LinearTypes types : {LinearTypes{kI8, kF32, kBF16}, {kI8, kBF16, kF32}, {kI8, kF16, kF16}}) {
      if (!is_supported(backend(), types)) continue;
      SCOPED_TRACE(name_of(c) + ", " + name_of(types));
      expect_rows_independent(c.rows, [&](int64_t begin, int64_t end, Order order) {
        return inputs.run(backend(), packed.weights, types, begin, end, order);
      });
    }
  }
}

// Inputs times a power of two and weights divided by it, which costs no bit (but in float16 rows, whose range is
// small): smoothing by the same powers takes both back to what they were.
TEST_P(LinearSmoothingTest, PowersOfTwoUndoThemselvesBitForBit) {
  for (const LinearCase& c : cases(linear_cases())) {
    const LinearInputs inputs(c);
    Random random(static_cast<uint32_t>(c.in + 5));
    const std::vector<float> powers =
        divisors(c.in, [&](int64_t) { return std::ldexp(1.0f, static_cast<int>(random.integer(13)) - 6); });
    LinearInputs uneven = inputs, ones = inputs;
    for (int64_t k = 0; k < c.in; ++k) {
      const float power = powers[static_cast<size_t>(k)];
      for (int64_t row = 0; row < c.rows; ++row) uneven.x.at(row, k) *= power;
      for (int64_t o = 0; o < c.out; ++o) uneven.weight.at(o, k) /= power;
    }
    uneven.smoothing = powers;
    ones.smoothing = divisors(c.in, [](int64_t) { return 1.0f; });
    for (const LinearTypes& types : every_linear_types(backend())) {
      if (types.dtype != kI8 || types.x == kF16) continue;
      SCOPED_TRACE(name_of(c) + ", " + name_of(types));
      const Rows even = inputs.run(backend(), types);
      expect_same_bits(uneven.run(backend(), types), even);
      expect_same_bits(ones.run(backend(), types), even);
    }
  }
}

// How far results lie from the product without any rounding, and from what the levels allow: a level of x' and one of
// W' are each off by half a step and, beyond that, by the rounding of what is divided by the step, less than a
// hundredth of it.
struct ProductErrors {
  ProductErrors(const LinearInputs& inputs, const Rows& y) {
    const LinearCase& c = inputs.spec;
    const auto divisor = [&](int64_t k) {
      return inputs.smoothing.empty() ? 1.0 : static_cast<double>(inputs.smoothing[static_cast<size_t>(k)]);
    };
    for (int64_t row = 0; row < c.rows; ++row) {
      double low = 0, high = 0;
      for (int64_t k = 0; k < c.in; ++k) {
        low = std::min(low, inputs.x.at(row, k) / divisor(k));
        high = std::max(high, inputs.x.at(row, k) / divisor(k));
      }
      const double x_error = 0.51 * (high - low) / 255;
      for (int64_t o = 0; o < c.out; ++o) {
        double greatest = 0, product = inputs.bias.at(0, o), allowed = 0;
        for (int64_t k = 0; k < c.in; ++k) greatest = std::max(greatest, std::abs(inputs.weight.at(o, k) * divisor(k)));
        const double weight_error = 0.51 * greatest / 127;
        for (int64_t k = 0; k < c.in; ++k) {
          const double x = std::abs(inputs.x.at(row, k) / divisor(k)),
                       weight = std::abs(inputs.weight.at(o, k) * divisor(k));
          product += static_cast<double>(inputs.x.at(row, k)) * inputs.weight.at(o, k);
          allowed += x_error * weight + (x + x_error) * weight_error;
        }
        const double error = std::abs(y.at(row, o) - product);
        root_mean_square += error * error;
        beyond = std::max(beyond, error - allowed);
      }
    }
    root_mean_square = std::sqrt(root_mean_square / static_cast<double>(c.rows * c.out));
  }
  double root_mean_square = 0, beyond = -1;
};

// The purpose of smoothing. One input of 32 is 64 times as large as the others and leaves them 4 levels of 255. Divided
// by 8 it leaves them 32, and its weights, multiplied by 8, leave the others 16 of 127: by steps and roots of sums, a
// third of the error.
TEST_P(LinearSmoothingTest, TakesTheLevelsBackFromLargeInputs) {
  for (const LinearCase& c : {LinearCase{9, 101, 37}, LinearCase{14, 770, 65}, LinearCase{5, 2049, 18}}) {
    LinearInputs plain(c);
    const auto large = [](int64_t k) { return k % 32 == 5; };
    for (int64_t row = 0; row < c.rows; ++row)
      for (int64_t k = 0; k < c.in; ++k) {
        float& x = plain.x.at(row, k);
        // the same number in rows of each dtype
        x = bf16_to_f32(f32_to_bf16(f16_to_f32(f32_to_f16(large(k) ? 64 * x : x))));
      }
    LinearInputs smoothed = plain;
    smoothed.smoothing = divisors(c.in, [&](int64_t k) { return large(k) ? 8.0f : 1.0f; });
    for (const Backend* tried : {&backend(), &reference_backend()}) {
      for (const DType x : supported(*tried, kRowTypes)) {
        SCOPED_TRACE(name_of(c) + ", " + name_of({kI8, x, kF32}) + ", " + tried->name);
        const ProductErrors before(plain, plain.run(*tried, {kI8, x, kF32})),
            after(smoothed, smoothed.run(*tried, {kI8, x, kF32}));
        EXPECT_LE(before.beyond, 0);
        EXPECT_LE(after.beyond, 0);
        EXPECT_LT(after.root_mean_square, before.root_mean_square / 2);
      }
    }
  }
}

// With any divisors, also useless ones, the results are as exact as the levels allow.
TEST_P(LinearSmoothingTest, StaysWithinWhatLevelsAllow) {
  for (const LinearCase& c :
       {LinearCase{7, 1, 3}, LinearCase{7, 3, 17}, LinearCase{9, 101, 37}, LinearCase{5, 513, 66}}) {
    SCOPED_TRACE(name_of(c));
    LinearInputs inputs(c);
    inputs.smoothing = ordinary_divisors(c.in);
    EXPECT_LE(ProductErrors(inputs, inputs.run(backend(), {kI8, kF32, kF32})).beyond, 0);
    EXPECT_LE(ProductErrors(inputs, inputs.run(reference_backend(), {kI8, kF32, kF32})).beyond, 0);
  }
}

TEST_P(LinearSmoothingTest, OtherDtypesIgnoreIt) {
  for (const LinearCase& c : {LinearCase{5, 17, 15, Activation::kSilu, true, true}, LinearCase{7, 100, 129},
                              LinearCase{11, 513, 48, Activation::kTanh}}) {
    const LinearInputs plain(c);
    LinearInputs smoothed = plain;
    smoothed.smoothing = ordinary_divisors(c.in);
    for (const Backend* tried : {&backend(), &reference_backend()}) {
      for (const LinearTypes& types : every_linear_types(*tried)) {
        if (types.dtype == kI8) continue;
        SCOPED_TRACE(name_of(c) + ", " + name_of(types) + ", " + tried->name);
        expect_same_bits(smoothed.run(*tried, types), plain.run(*tried, types));
      }
    }
  }
}

// Ranges too small and too large, of rows of x and of W, are those of the quotients and of the products. float16 has no
// such x.
TEST_P(LinearSmoothingTest, LimitsAreThoseOfWhatIsDividedAndMultiplied) {
  const LinearCase c{7, 41, 19, Activation::kIdentity, false};
  LinearInputs inputs(c);
  inputs.smoothing = divisors(c.in, [](int64_t k) { return k == 3 || k == 4 ? 64.0f : k == 40 ? 1 / 64.0f : 1.0f; });
  for (int64_t row = 0; row < c.rows; ++row) inputs.x.at(row, 40) = 0;
  for (int64_t o = 0; o < c.out; ++o) inputs.weight.at(o, 40) = 200;  // to be a few levels beside 64 times the others
  for (int64_t k = 0; k < c.in; ++k)
    inputs.x.at(3, k) = inputs.x.at(4, k) = inputs.weight.at(5, k) = inputs.weight.at(18, k) = 0;
  inputs.x.at(0, 3) = 32;
  inputs.x.at(1, 3) = 2e38f;  // further apart than the greatest float, but not their 64ths
  inputs.x.at(1, 4) = -2e38f;
  inputs.x.at(2, 40) = 1e37f;   // 64 times that is infinite
  inputs.x.at(3, 3) = 1e-29f;   // a 64th of that is below 1e-30
  inputs.x.at(4, 40) = 1e-31f;  // 64 times that is not
  inputs.x.at(5, 40) = kNaN;
  inputs.x.at(6, 3) = -kInfinity;
  inputs.weight.at(5, 40) = 1e-29f;
  inputs.weight.at(18, 3) = 1e-31f;
  for (const Backend* tried : {&backend(), &reference_backend()}) {
    for (const DType x : supported(*tried, kRowTypes)) {
      if (x == kF16) continue;
      SCOPED_TRACE(name_of({kI8, x, kF32}) + ", " + tried->name);
      const Rows y = inputs.run(*tried, {kI8, x, kF32});
      for (int64_t o = 0; o < c.out; ++o) {
        SCOPED_TRACE(testing::Message() << "column " << o);
        for (const int64_t row : {2, 5, 6}) EXPECT_TRUE(std::isnan(y.at(row, o))) << "row " << row;
        EXPECT_EQ(y.at(0, o) == 0, o == 5);
        EXPECT_TRUE(std::isfinite(y.at(1, o)));
        EXPECT_EQ(y.at(1, o) == 0, o == 5);
        EXPECT_EQ(y.at(3, o), 0);
        EXPECT_EQ(y.at(4, o) == 0, o == 5 || o == 18);
      }
    }
  }
}

}  // namespace
}  // namespace embedcore::test
