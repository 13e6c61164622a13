// The guarantees of ops/linear.h for int8 only, on every backend: exact levels and integer sums, and limits.
#include "linear_inputs.h"

namespace embedcore::test {
namespace {

class LinearInt8Test : public LinearInt8OpTest {};
EMBEDCORE_EVERY_BACKEND(LinearInt8Test);

constexpr DType kF32 = DType::kF32, kI8 = DType::kI8;
constexpr LinearTypes kTypes{kI8, kF32, kF32};

// Every step is a power of two: a row of x spans 255 steps, and the largest value of a row of W is 127 steps. Then y is
// the integer sum rounded to float32 once, for any order of the factors, so all backends give the same numbers. Values
// are on levels, between them and halfway.
TEST_P(LinearInt8Test, IntegerSumsAreExact) {
  for (LinearCase c : cases(linear_cases())) {
    c.activation = Activation::kIdentity;
    c.bias = c.residual = c.in_place = false;
    LinearInputs inputs(c);
    Random random(static_cast<uint32_t>(c.in * 3 + c.out));
    const auto quarters = [&](int64_t low, int64_t high) {
      return static_cast<float>(4 * low + random.integer(4 * (high - low) + 1)) / 4;
    };
    for (int64_t row = 0; row < c.rows; ++row) {
      const int64_t zero = c.in == 1 ? 255 * random.integer(2) : random.integer(256);
      const float step = std::ldexp(1.0f, static_cast<int>(random.integer(16)) - 12);
      for (int64_t k = 0; k < c.in; ++k) inputs.x.at(row, k) = quarters(-zero, 255 - zero) * step;
      const int64_t lowest = random.integer(c.in),
                    highest = c.in == 1 ? 0 : (lowest + 1 + random.integer(c.in - 1)) % c.in;
      inputs.x.at(row, lowest) = static_cast<float>(-zero) * step;
      if (c.in > 1 || zero == 0) inputs.x.at(row, highest) = static_cast<float>(255 - zero) * step;
    }
    for (int64_t o = 0; o < c.out; ++o) {
      const float step = std::ldexp(1.0f, static_cast<int>(random.integer(12)) - 8);
      for (int64_t k = 0; k < c.in; ++k) inputs.weight.at(o, k) = quarters(-127, 127) * step;
      inputs.weight.at(o, random.integer(c.in)) = (random.integer(2) ? 127.0f : -127.0f) * step;
    }
    for (const LinearTypes& types : every_linear_types(backend())) {
      if (types.dtype != kI8) continue;
      SCOPED_TRACE(name_of(c) + ", " + name_of(types));
      expect_close(inputs.run(backend(), types), inputs.run(reference_backend(), types),
                   [](int64_t, int64_t) { return 0.0; });
    }
  }
}

// The longest rows with every byte at its end: sums near 2^31, and pairs of products beyond 16 bits.
TEST_P(LinearInt8Test, LongestSumsNeitherWrapNorSaturate) {
  const LinearCase list[] = {{4, kMostInt8Inputs, 1, Activation::kIdentity, false},
                             {4, kMostInt8Inputs, 17, Activation::kIdentity, false}};
  for (const LinearCase& c : cases(list)) {
    const int64_t out = c.out;
    LinearInputs inputs(c);
    for (int64_t k = 0; k < kMostInt8Inputs; ++k) {
      inputs.x.at(0, k) = 255;                     // u 255, zero 0
      inputs.x.at(1, k) = -255;                    // u 0, zero 255
      inputs.x.at(2, k) = k % 2 ? -128 : 127;      // u 0 and 255, zero 128
      inputs.x.at(3, k) = k % 4 > 1 ? -127 : 128;  // zero 127
      for (int64_t o = 0; o < out; ++o)
        inputs.weight.at(o, k) = static_cast<float>(o % 3 == 0 ? 127 : o % 3 == 1 ? -127 : k % 2 ? -127 : 127);
    }
    const Rows y = inputs.run(backend(), kTypes);
    const float n = static_cast<float>(kMostInt8Inputs);
    for (int64_t o = 0; o < out; ++o) {
      SCOPED_TRACE(testing::Message() << "column " << o << " of " << out);
      const float sign = o % 3 == 0 ? 1 : -1;
      EXPECT_EQ(y.at(0, o), o % 3 == 2 ? 0 : sign * 255 * 127 * n);
      EXPECT_EQ(y.at(1, o), o % 3 == 2 ? 0 : sign * -255 * 127 * n);
      EXPECT_EQ(y.at(2, o), o % 3 == 2 ? 255 * 127 * n / 2 : sign * -1 * 127 * n / 2);
      EXPECT_EQ(y.at(3, o), o % 3 == 2 ? 0 : sign * 127 * n / 2);
    }
  }
}

TEST_P(LinearInt8Test, MoreInputsThanASumHoldsAreRefused) {
  const std::vector<float> weight(static_cast<size_t>(kMostInt8Inputs) + 1, 1.0f);
  for (const Backend* tried : {&backend(), &reference_backend()}) {
    for (const DType dtype : supported(*tried, kArithmetics)) {
      SCOPED_TRACE(testing::Message() << tried->name << ", " << dtype_name(dtype));
      const PackedWeights most(*tried, {.weight = weight.data(), .in = kMostInt8Inputs, .out = 1, .dtype = dtype}),
          more(*tried, {.weight = weight.data(), .in = kMostInt8Inputs + 1, .out = 1, .dtype = dtype});
      EXPECT_EQ(most.status, kOk);
      EXPECT_EQ(more.status, dtype == kI8 ? kBadArgument : kOk);
      EXPECT_EQ(more.weights == nullptr, dtype == kI8);
    }
  }
}

// Rows of W or x without a range contribute nothing, so only the bias remains.
TEST_P(LinearInt8Test, ZerosLeaveTheBias) {
  const LinearCase c{9, 70, 37};
  LinearInputs inputs(c);
  for (int64_t k = 0; k < c.in; ++k) {
    for (const int64_t o : {0, 16, 36}) inputs.weight.at(o, k) = 0;
    inputs.weight.at(20, k) = 1e-35f;
    inputs.x.at(3, k) = 0;
    inputs.x.at(4, k) = k % 2 ? 1e-35f : -1e-35f;
    inputs.x.at(8, k) = -0.0f;
  }
  for (const DType x_dtype : supported(backend(), kRowTypes)) {
    const Rows y = inputs.run(backend(), {kI8, x_dtype, kF32});
    for (int64_t row = 0; row < c.rows; ++row) {
      for (int64_t o = 0; o < c.out; ++o) {
        const bool zeros = row == 3 || row == 4 || row == 8 || o == 0 || o == 16 || o == 20 || o == 36;
        EXPECT_EQ(y.at(row, o) == inputs.bias.at(0, o), zeros)
            << "row " << row << ", column " << o << ": " << y.at(row, o);
      }
    }
  }
}

// A row whose range exceeds the greatest float has no step, and this must be noticed.
TEST_P(LinearInt8Test, ARangeBeyondFloat32GivesNaN) {
  const LinearCase c{5, 40, 19};
  LinearInputs inputs(c);
  inputs.x.at(2, 3) = 3e38f;
  inputs.x.at(2, 39) = -3e38f;
  for (const LinearTypes& types : every_linear_types(backend())) {
    if (types.dtype != kI8) continue;
    const Rows y = inputs.run(backend(), types);
    for (int64_t row = 0; row < c.rows; ++row)
      for (int64_t o = 0; o < c.out; ++o)
        EXPECT_EQ(std::isnan(y.at(row, o)), row == 2) << name_of(types) << ", row " << row << ", column " << o;
  }
}

}  // namespace
}  // namespace embedcore::test
