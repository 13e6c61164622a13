// LoRA parts and dropout of ops/linear.h, forward and backward, on every backend, against the reference. A backend that
// does not train has the forward pass without dropout.
#include "lora_inputs.h"

namespace embedcore::test {
namespace {

class LinearLoraTest : public OpTest {
 protected:
  bool trains() const { return backend().linear_input_gradient != nullptr; }
  void SetUp() override {
    if (!trains()) {
      ASSERT_FALSE(backend().host_memory) << backend().name << " does not train";
    }
  }
  std::vector<LoraCase> own_cases() {
    std::vector<LoraCase> own;
    for (LoraCase c : cases(lora_cases())) {
      if (!trains()) {
        c.rate = 0;
        for (PartSpec& part : c.parts) part.rate = 0;
      }
      own.push_back(std::move(c));
    }
    return own;
  }
  // Of the backward pass.
  std::vector<DType> trained() const {
    return trains() ? supported(backend(), std::vector{DType::kF32, DType::kBF16}) : std::vector<DType>();
  }
};
EMBEDCORE_EVERY_BACKEND(LinearLoraTest);

constexpr DType kF32 = DType::kF32, kBF16 = DType::kBF16, kI8 = DType::kI8;

void expect_same_results(const LoraInputs::Result& part, const LoraInputs::Result& all, int64_t begin = 0) {
  expect_same_bits(part.y, all.y, begin);
  for (size_t i = 0; i < part.middle.size(); ++i) expect_same_bits(part.middle[i], all.middle[i], begin);
}

// As expect_rows_independent, for results with middles.
template <typename Run>
void expect_results_independent(int64_t rows, Run&& run) {
  const LoraInputs::Result all = run(int64_t{0}, rows, Order::kAscending);
  expect_same_results(run(int64_t{0}, rows, Order::kShuffled), all);
  expect_same_results(run(int64_t{0}, rows, Order::kThreads), all);
  for (int64_t row = 0; row < rows; row += row < 8 ? 1 : rows / 5 + 1)
    expect_same_results(run(row, row + 1, Order::kAscending), all, row);
  if (rows > 3) expect_same_results(run(rows / 3, rows, Order::kAscending), all, rows / 3);
}

// The parts' own sums run over in, then rank; the layer's over in. Each is within its number of roundings times the
// sum of magnitudes; the activation stretches that, dropout multiplies it.
TEST_P(LinearLoraTest, ForwardAgreesWithReference) {
  for (const LoraCase& c : own_cases()) {
    const LoraInputs inputs(c);
    const LoraInputs large = inputs.magnitudes(), alone = large.parts_alone();
    for (const LinearTypes& types : every_linear_types(backend())) {
      SCOPED_TRACE(name_of(c) + ", " + name_of(types));
      const PackedWeights packed(backend(), inputs.weights(types.dtype)),
          own(reference_backend(), inputs.weights(types.dtype)),
          own_large(reference_backend(), large.weights(types.dtype)),
          own_alone(reference_backend(), alone.weights(types.dtype == kI8 ? kF32 : types.dtype));
      const int64_t rows = c.linear.rows;
      const LinearTypes floats{types.dtype, types.x, kF32};
      const auto got = inputs.run(backend(), packed.weights, types, 0, rows),
                 wanted = inputs.run(reference_backend(), own.weights, floats, 0, rows),
                 sizes = large.run(reference_backend(), own_large.weights, floats, 0, rows),
                 lora_sizes = alone.run(reference_backend(), own_alone.weights,
                                        {types.dtype == kI8 ? kF32 : types.dtype, types.x, kF32}, 0, rows);
      LoraInputs plain = inputs;
      plain.spec.linear.activation = Activation::kIdentity;
      plain.spec.linear.residual = plain.spec.linear.in_place = false;
      plain.spec.rate = 0;
      const auto sums = plain.run(reference_backend(), own.weights, floats, 0, rows);
      const double factor = static_cast<double>(dropout_factor(c.rate)), ranks = static_cast<double>(ranks_of(c));
      expect_rounded_close(types.y, got.y, wanted.y, [&](int64_t row, int64_t column) {
        const double lora = lora_sizes.y.at(row, column), size = sizes.y.at(row, column);
        const double n = static_cast<double>(c.linear.in) + ranks + 6;
        const double sum = sum_error(types.dtype, c.linear.in, size) + n * (2 * kUnit * lora + 0x1p-120) +
                           middle_rounding(types.dtype) * lora + kUnit * size;
        return factor * (kSteepest * sum +
                         activation_error(backend(), c.linear.activation, sums.y.at(row, column), types.y)) +
               4 * kUnit * std::abs(wanted.y.at(row, column)) + 2 * kUnit;
      });
      for (size_t i = 0; i < c.parts.size(); ++i)
        expect_close(got.middle[i], wanted.middle[i], [&](int64_t row, int64_t j) {
          return sum_error(types.dtype == kI8 ? kF32 : types.dtype, c.linear.in + 1, lora_sizes.middle[i].at(row, j));
        });
    }
  }
}

TEST_P(LinearLoraTest, BackwardAgreesWithReference) {
  for (const LoraCase& c : own_cases()) {
    const LoraInputs inputs(c);
    const LoraInputs large = inputs.magnitudes(), alone = large.parts_alone();
    for (const DType dtype : trained()) {
      for (const bool add : {false, true}) {
        SCOPED_TRACE(name_of(c) + ", " + dtype_name(dtype) + (add ? ", added" : ""));
        constexpr LinearUse kBoth = LinearUse::kForwardAndBackward;
        const PackedWeights packed(backend(), inputs.weights(dtype, kBoth)),
            own(reference_backend(), inputs.weights(dtype, kBoth)),
            own_large(reference_backend(), large.weights(dtype, kBoth)),
            own_alone(reference_backend(), alone.weights(dtype, kBoth));
        ASSERT_EQ(packed.status, kOk);
        const int64_t rows = c.linear.rows;
        const auto got = inputs.run_backward(backend(), packed.weights, 0, rows, add),
                   wanted = inputs.run_backward(reference_backend(), own.weights, 0, rows, add),
                   sizes = large.run_backward(reference_backend(), own_large.weights, 0, rows, false),
                   lora_sizes = alone.run_backward(reference_backend(), own_alone.weights, 0, rows, false);
        expect_close(got.y, wanted.y, [&](int64_t row, int64_t column) {
          return sum_error(dtype, c.linear.out + ranks_of(c) + 6, sizes.y.at(row, column)) +
                 middle_rounding(dtype) * lora_sizes.y.at(row, column) + kUnit;
        });
        for (size_t i = 0; i < c.parts.size(); ++i)
          expect_close(got.middle[i], wanted.middle[i], [&](int64_t row, int64_t j) {
            return sum_error(dtype, c.parts[i].count + 1, sizes.middle[i].at(row, j));
          });
      }
    }
  }
}

TEST_P(LinearLoraTest, RowsAreIndependentBitForBit) {
  for (const LoraCase& c : own_cases()) {
    const LoraInputs inputs(c);
    for (const LinearTypes types :
         {LinearTypes{kF32, kF32, kF32}, {kBF16, kF32, kBF16}, {kBF16, kBF16, kF32}, {kI8, kBF16, kF32}}) {
      if (!is_supported(backend(), types)) continue;
      SCOPED_TRACE(name_of(c) + ", " + name_of(types));
      const PackedWeights packed(backend(), inputs.weights(types.dtype));
      expect_results_independent(c.linear.rows, [&](int64_t begin, int64_t end, Order order) {
        return inputs.run(backend(), packed.weights, types, begin, end, order);
      });
    }
    for (const DType dtype : trained()) {
      SCOPED_TRACE(name_of(c) + ", backward, " + dtype_name(dtype));
      const PackedWeights packed(backend(), inputs.weights(dtype, LinearUse::kForwardAndBackward));
      expect_results_independent(c.linear.rows, [&](int64_t begin, int64_t end, Order order) {
        return inputs.run_backward(backend(), packed.weights, begin, end, true, order);
      });
    }
  }
}

// Small whole numbers, whose sums are never rounded, so that every product is noticed. Middles are rounded alike, for
// they are exact before.
TEST_P(LinearLoraTest, WholeNumbersAddUpExactly) {
  for (LoraCase c : own_cases()) {
    c.linear.activation = Activation::kIdentity;
    if (c.rate > 0) c.rate = 0.5f;  // whose factor is 2
    for (PartSpec& part : c.parts) {
      part.scale = part.scale < 1 ? 1.0f : 2.0f;
      if (part.rate > 0) part.rate = 0.5f;
    }
    LoraInputs inputs(c);
    Random random(static_cast<uint32_t>(c.linear.in * 3 + c.linear.out));
    const auto whole = [&](float) { return static_cast<float>(random.integer(7) - 3); };
    for (Rows* rows : {&inputs.layer.x, &inputs.layer.weight, &inputs.layer.bias, &inputs.layer.residual, &inputs.dz})
      rows->each(whole);
    for (Rows& rows : inputs.a) rows.each(whole);
    for (Rows& rows : inputs.b) rows.each(whole);
    for (const LinearTypes& types : every_linear_types(backend())) {
      if (types.dtype == kI8 || types.y != kF32) continue;
      SCOPED_TRACE(name_of(c) + ", " + name_of(types));
      const PackedWeights packed(backend(), inputs.weights(types.dtype)),
          own(reference_backend(), inputs.weights(types.dtype));
      expect_same_results(inputs.run(backend(), packed.weights, types, 0, c.linear.rows),
                          inputs.run(reference_backend(), own.weights, types, 0, c.linear.rows));
    }
    for (const DType dtype : trained()) {
      SCOPED_TRACE(name_of(c) + ", backward, " + dtype_name(dtype));
      const LinearWeights weights = inputs.weights(dtype, LinearUse::kForwardAndBackward);
      const PackedWeights packed(backend(), weights), own(reference_backend(), weights);
      expect_same_results(inputs.run_backward(backend(), packed.weights, 0, c.linear.rows, true),
                          inputs.run_backward(reference_backend(), own.weights, 0, c.linear.rows, true));
    }
  }
}

// A part touches its own columns only. In int8 its sums become floats before the bias, which is another rounding.
TEST_P(LinearLoraTest, ColumnsOfNoPartKeepTheirBits) {
  LoraCase c{{9, 50, 200, Activation::kGelu}, {{70, 40, 6, 2.0f, trains() ? 0.2f : 0.0f}}};
  const LoraInputs inputs(c);
  LoraInputs without = inputs;
  without.spec.parts.clear();
  for (const LinearTypes& types : every_linear_types(backend())) {
    if (types.dtype == kI8) continue;
    SCOPED_TRACE(name_of(types));
    const PackedWeights packed(backend(), inputs.weights(types.dtype));
    const Rows with = inputs.run(backend(), packed.weights, types, 0, 9).y,
               plain = without.run(backend(), packed.weights, types, 0, 9).y;
    int changed = 0;
    for (int64_t row = 0; row < 9; ++row)
      for (int64_t column = 0; column < 200; ++column) {
        if (column >= 70 && column < 110)
          changed += with.at(row, column) != plain.at(row, column);
        else
          ASSERT_EQ(with.at(row, column), plain.at(row, column)) << "row " << row << ", column " << column;
      }
    EXPECT_GT(changed, 300);
  }
}

TEST_P(LinearLoraTest, NonFiniteInputStaysInItsRow) {
  const float rate = trains() ? 0.1f : 0.0f;
  const LoraCase c{{13, 33, 70}, {{0, 30, 4, 2.0f}, {31, 20, 8, 1.0f, rate}}, rate};
  const LoraInputs inputs(c);
  LoraInputs spoiled = inputs;
  spoiled.layer.x.at(4, 7) = spoiled.dz.at(4, 3) = std::numeric_limits<float>::quiet_NaN();
  spoiled.layer.x.at(9, 0) = spoiled.dz.at(9, 69) = std::numeric_limits<float>::infinity();
  const auto expect_other_rows = [](const Rows& got, const Rows& clean) {
    for (int64_t row = 0; row < got.rows(); ++row) {
      bool finite = true;
      for (int64_t column = 0; column < got.width(); ++column) {
        finite = finite && std::isfinite(got.at(row, column));
        if (row != 4 && row != 9) {
          ASSERT_EQ(got.at(row, column), clean.at(row, column));
        }
      }
      EXPECT_EQ(finite, row != 4 && row != 9) << "row " << row;
    }
  };
  for (const LinearTypes& types : every_linear_types(backend())) {
    SCOPED_TRACE(name_of(types));
    const PackedWeights packed(backend(), inputs.weights(types.dtype));
    expect_other_rows(spoiled.run(backend(), packed.weights, types, 0, 13).y,
                      inputs.run(backend(), packed.weights, types, 0, 13).y);
  }
  for (const DType dtype : trained()) {
    const PackedWeights packed(backend(), inputs.weights(dtype, LinearUse::kForwardAndBackward));
    expect_other_rows(spoiled.run_backward(backend(), packed.weights, 0, 13, false).y,
                      inputs.run_backward(backend(), packed.weights, 0, 13, false).y);
  }
}

}  // namespace
}  // namespace embedcore::test
