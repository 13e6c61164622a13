// ops/linear.h on every backend against the reference, in every dtype. The tests of int8 alone are in
// ops_linear_int8_test.cc.
#include "linear_inputs.h"

namespace embedcore::test {
namespace {

class LinearTest : public OpTest {};
EMBEDCORE_EVERY_BACKEND(LinearTest);

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN(), kInfinity = std::numeric_limits<float>::infinity();

TEST_P(LinearTest, AgreesWithReference) {
  for (const LinearCase& c : cases(linear_cases())) {
    const LinearInputs inputs(c);
    for (const DType dtype : supported(backend(), kArithmetics)) {
      const PackedWeights packed(backend(), inputs.weights(dtype));
      ASSERT_EQ(packed.status, kOk);
      EXPECT_EQ(packed.weights->in, c.in);
      EXPECT_EQ(packed.weights->out, c.out);
      EXPECT_EQ(packed.weights->dtype, dtype);
      EXPECT_GE(packed.weights->bytes, static_cast<size_t>(c.out) * (static_cast<size_t>(c.in) * dtype_size(dtype) +
                                                                     (c.bias ? sizeof(float) : 0)));
      for (const LinearTypes& types : every_linear_types(backend())) {
        if (types.dtype != dtype) continue;
        SCOPED_TRACE(name_of(c) + ", " + name_of(types));
        expect_linear(backend(), inputs.run(backend(), packed.weights, types, 0, c.rows), inputs,
                      linear_wanted(c, inputs, dtype, types.x), types);
      }
    }
  }
}

// Small whole numbers, whose sums are never rounded: every order gives the same result, and a product that is left out
// or added twice is noticed, however long the sum is.
TEST_P(LinearTest, WholeNumbersAddUpExactly) {
  for (LinearCase c : cases(linear_cases())) {
    c.activation = Activation::kIdentity;
    LinearInputs inputs(c);
    Random random(static_cast<uint32_t>(c.in + c.out));
    const auto whole = [&](float) { return static_cast<float>(random.integer(33) - 16); };
    inputs.x.each(whole);
    inputs.weight.each(whole).each([](float w) { return w / 8; });
    inputs.bias.each(whole);
    inputs.residual.each(whole);
    for (const LinearTypes& types : every_linear_types(backend())) {
      if (types.dtype == DType::kI8) continue;
      SCOPED_TRACE(name_of(c) + ", " + name_of(types));
      expect_close(inputs.run(backend(), types), inputs.run(reference_backend(), types),
                   [](int64_t, int64_t) { return 0.0; });
    }
  }
}

TEST_P(LinearTest, RowsAreIndependentBitForBit) {
  constexpr DType kF32 = DType::kF32, kF16 = DType::kF16, kBF16 = DType::kBF16, kI8 = DType::kI8;
  for (const LinearCase& c : cases(linear_cases())) {
    const LinearInputs inputs(c);
    for (const LinearTypes types : {LinearTypes{kF32, kF32, kF32},
                                    {kBF16, kBF16, kBF16},
                                    {kBF16, kF32, kF32},
                                    {kF16, kF16, kF16},
                                    {kF16, kF32, kF32},
                                    {kI8, kF16, kF32},
                                    {kI8, kF32, kBF16},
                                    {kI8, kBF16, kF32}}) {
      if (!is_supported(backend(), types)) continue;
      SCOPED_TRACE(name_of(c) + ", " + name_of(types));
      const PackedWeights packed(backend(), inputs.weights(types.dtype));
      expect_rows_independent(c.rows, [&](int64_t begin, int64_t end, Order order) {
        return inputs.run(backend(), packed.weights, types, begin, end, order);
      });
    }
  }
}

// Rows that stress ranges: of one value, of one sign, far below and above 1, and where one element dwarfs the others.
// Where float16 has a part, its greatest numbers are the largest, whose results pass them.
TEST_P(LinearTest, RowsOfEveryKindAgreeWithReference) {
  for (const Activation activation : {Activation::kIdentity, Activation::kGelu}) {
    for (const float large : {1e30f, 6e4f}) {
      const LinearCase c{14, 101, 35, activation};
      LinearInputs inputs(c);
      for (int64_t k = 0; k < c.in; ++k) {
        const float value = inputs.x.at(0, k);
        inputs.x.at(1, k) = 0.0f;
        inputs.x.at(2, k) = 0.7f;
        inputs.x.at(3, k) = -0.3f;
        inputs.x.at(4, k) = -0.1f - std::abs(value);
        inputs.x.at(5, k) = 0.1f + std::abs(value);
        inputs.x.at(6, k) = std::max(value, 0.0f);
        inputs.x.at(7, k) = value * 1e-35f;
        inputs.x.at(8, k) = value * 1e-39f;  // below the normal floats
        inputs.x.at(9, k) = value * large;
        inputs.x.at(10, k) = k == 50 ? 1e4f : value;
        inputs.x.at(11, k) = k == 100 ? -1e4f : value;
        inputs.x.at(12, k) = k == 0 ? 1.0f : 0.0f;
        inputs.x.at(13, k) = 100.0f + value;
      }
      for (const LinearTypes& types : every_linear_types(backend())) {
        const bool with_float16 = types.dtype == DType::kF16 || types.x == DType::kF16 || types.y == DType::kF16;
        if (with_float16 != (large < 1e5f)) continue;
        SCOPED_TRACE(name_of(c) + ", " + name_of(types));
        expect_linear(backend(), inputs.run(backend(), types), inputs, LinearWanted(inputs, types.dtype, types.x),
                      types);
      }
    }
  }
}

// 65519 rounds to 65504, 65520 to infinity; what is below 2^-14 counts in 2^-24.
TEST_P(LinearTest, Float16HasItsEnds) {
  if (!backend().supports(device_of(backend()), DType::kF16)) GTEST_SKIP() << backend().name << " has no float16";
  LinearInputs inputs({6, 3, 2, Activation::kIdentity, false});
  const float x[6] = {65519, 65520, -1e6f, 0x1p-24f, 0x1.8p-25f, 0x1p-25f},
              y[6] = {65504, kInfinity, -kInfinity, 0x1p-24f, 0x1p-24f, 0};
  for (int64_t row = 0; row < 6; ++row) {
    for (int64_t k = 0; k < 3; ++k) inputs.x.at(row, k) = 0;
    inputs.x.at(row, 1) = x[row];
  }
  for (int64_t k = 0; k < 3; ++k) {
    inputs.weight.at(0, k) = 1;
    inputs.weight.at(1, k) = k == 1 ? 0x1p-24f : 1;
  }
  for (const LinearTypes types : {LinearTypes{DType::kF16, DType::kF32, DType::kF32},
                                  {DType::kF16, DType::kF16, DType::kF32},
                                  {DType::kF32, DType::kF32, DType::kF16}}) {
    SCOPED_TRACE(name_of(types));
    const Rows got = inputs.run(backend(), types);
    for (int64_t row = 0; row < 6; ++row) {
      EXPECT_EQ(got.at(row, 0), y[row]) << "row " << row;
      if (types.dtype == DType::kF16) {
        EXPECT_EQ(got.at(row, 1), y[row] * 0x1p-24f) << "row " << row;
      }
    }
  }
  inputs.weight.at(0, 0) = -65520;  // infinite, and times 0
  inputs.x.at(3, 0) = 1;
  const Rows got = inputs.run(backend(), {DType::kF16, DType::kF32, DType::kF32});
  EXPECT_EQ(got.at(3, 0), -kInfinity);
  EXPECT_TRUE(std::isnan(got.at(0, 0)));
}

// In int8 a row with an infinity has no range, so the row is lost.
TEST_P(LinearTest, NonFiniteInputStaysInItsRow) {
  const LinearCase c{13, 33, 70, Activation::kGelu};
  const LinearInputs inputs(c);
  LinearInputs spoiled = inputs;
  spoiled.x.at(4, 7) = kNaN;
  spoiled.x.at(9, 0) = kInfinity;
  spoiled.x.at(11, 32) = -kInfinity;
  for (const LinearTypes& types : every_linear_types(backend())) {
    SCOPED_TRACE(name_of(types));
    const PackedWeights packed(backend(), inputs.weights(types.dtype));
    const Rows clean = inputs.run(backend(), packed.weights, types, 0, c.rows),
               y = spoiled.run(backend(), packed.weights, types, 0, c.rows);
    for (int64_t row = 0; row < c.rows; ++row) {
      const bool infinite = row == 9 || row == 11;
      for (int64_t column = 0; column < c.out; ++column) {
        if (row == 4 || (infinite && types.dtype == DType::kI8)) {
          ASSERT_TRUE(std::isnan(y.at(row, column))) << "row " << row << ", column " << column;
        } else if (!infinite) {
          ASSERT_EQ(std::bit_cast<uint32_t>(y.at(row, column)), std::bit_cast<uint32_t>(clean.at(row, column)))
              << "row " << row;
        }
      }
    }
  }
}

// A NaN in a sum must reach the result, so that an overflow in a model is noticed.
TEST_P(LinearTest, EveryActivationKeepsNaN) {
  for (const Activation activation : kEveryActivation) {
    for (const LinearTypes& types : every_linear_types(backend())) {
      SCOPED_TRACE(testing::Message() << "activation " << static_cast<int>(activation) << ", " << name_of(types));
      LinearInputs inputs({3, 5, 37, activation});
      inputs.x.at(1, 2) = kNaN;
      const Rows y = inputs.run(backend(), types);
      for (int64_t column = 0; column < y.width(); ++column) {
        EXPECT_TRUE(std::isnan(y.at(1, column))) << "column " << column;
        EXPECT_TRUE(std::isfinite(y.at(0, column)) && std::isfinite(y.at(2, column))) << "column " << column;
      }
    }
  }
}

// Weights of a file's dtype are packed as the float32 of the same values.
TEST_P(LinearTest, WeightsOfSixteenBitsGiveTheBitsOfTheSameFloats) {
  for (const DType file : {DType::kF16, DType::kBF16}) {
    const auto bits = [&](float value) { return file == DType::kF16 ? f32_to_f16(value) : f32_to_bf16(value); };
    for (const LinearCase& c : {LinearCase{5, 17, 15, Activation::kSilu, true, true}, LinearCase{7, 100, 129},
                                LinearCase{11, 513, 48, Activation::kTanh}, LinearCase{1, 1, 1}}) {
      LinearInputs inputs(c);
      std::vector<uint16_t> halves;
      inputs.weight.each([&](float value) {
        halves.push_back(bits(value));
        float kept = 0;
        to_float32(reinterpret_cast<const std::byte*>(&halves.back()), file, &kept, 1);
        return kept;
      });
      for (const Backend* tried : {&backend(), &reference_backend()}) {
        for (const LinearTypes& types : every_linear_types(*tried)) {
          SCOPED_TRACE(name_of(c) + ", " + name_of(types) + ", weights " + dtype_name(file) + ", " + tried->name);
          LinearWeights weights = inputs.weights(types.dtype);
          weights.weight = halves.data();
          weights.weight_dtype = file;
          const PackedWeights packed(*tried, weights);
          ASSERT_EQ(packed.status, kOk);
          expect_same_bits(inputs.run(*tried, packed.weights, types, 0, c.rows), inputs.run(*tried, types));
        }
      }
    }
  }
}

TEST_P(LinearTest, PackingRefusesWhatItCannotPack) {
  const LinearInputs inputs({1, 4, 3});
  for (const Backend* tried : {&backend(), &reference_backend()}) {
    SCOPED_TRACE(tried->name);
    const auto refused = [&](LinearWeights weights) {
      const PackedWeights packed(*tried, weights);
      EXPECT_EQ(packed.weights == nullptr, packed.status != kOk);
      return packed.status == kBadArgument;
    };
    for (const DType dtype : supported(*tried, kArithmetics)) {
      LinearWeights weights = inputs.weights(dtype);
      weights.use = LinearUse::kForwardAndBackward;
      EXPECT_EQ(refused(weights), !tried->repack_linear || (dtype != DType::kF32 && dtype != DType::kBF16))
          << dtype_name(dtype);
      weights.use = LinearUse::kForward;
      for (const DType file : {DType::kF64, DType::kI8, DType::kI32, DType::kF8E4M3, DType::kBool}) {
        weights.weight_dtype = file;
        EXPECT_TRUE(refused(weights)) << dtype_name(dtype) << " of " << dtype_name(file);
      }
    }
    for (const DType dtype : {DType::kF16, DType::kBF16, DType::kI8, DType::kF64, DType::kU8})
      EXPECT_EQ(refused(inputs.weights(dtype)), !tried->supports(device_of(*tried), dtype)) << dtype_name(dtype);
  }
}

TEST_P(LinearTest, PackingMoreThanMemorySaysSo) {
  const float one = 1;
  for (const Backend* tried : {&backend(), &reference_backend()}) {
    for (const DType dtype : supported(*tried, kArithmetics)) {
      const PackedWeights packed(*tried,
                                 {.weight = &one, .in = int64_t{1} << 16, .out = int64_t{1} << 42, .dtype = dtype});
      EXPECT_EQ(packed.status, kOutOfMemory) << tried->name << ", " << dtype_name(dtype);
      EXPECT_EQ(packed.weights, nullptr);
    }
    tried->free_linear(nullptr);
  }
}

}  // namespace
}  // namespace embedcore::test
