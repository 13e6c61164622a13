// The gradients of ops/linear.h on every backend that has them: against the reference, whose own
// ops_linear_difference_test.cc checks; and that a sum is one chain whatever the call.
#include "lora_inputs.h"

namespace embedcore::test {
namespace {

class LinearGradientTest : public OpTest {
 protected:
  void SetUp() override {
    if (!backend().linear_weight_gradient) {
      ASSERT_FALSE(backend().host_memory) << backend().name << " does not train";
      GTEST_SKIP() << backend().name << " does not train";
    }
  }
};
EMBEDCORE_EVERY_BACKEND(LinearGradientTest);

constexpr DType kTrained[] = {DType::kF32, DType::kBF16};
constexpr LinearUse kBoth = LinearUse::kForwardAndBackward;

// --- of the weights ---

struct WeightCase {
  int64_t rows, in, out, gap = 0;
  float scale = 1;
};

// Around tiles of 6 outputs and strips of 96, panels of 8, 16 and 64 inputs, pairs of rows, blocks of 512 words and
// rounds of 2,048; the shapes of LoRA's matrices.
const std::vector<WeightCase>& weight_cases() {
  static const std::vector<WeightCase> cases = {
      {1, 1, 1},    {2, 3, 5, 1},    {7, 16, 6},    {8, 17, 7, 2},           {9, 63, 95},
      {16, 64, 96}, {17, 65, 97, 3}, {31, 200, 13}, {100, 16, 192, 0, 2.0f}, {101, 384, 16, 0, 0.7f},
      {64, 4, 300}, {511, 70, 12},   {512, 33, 11}, {513, 24, 102, 1},       {1023, 9, 8},
      {1024, 8, 9}, {1025, 12, 10},  {2049, 5, 7},  {4100, 6, 9, 0, -1.5f},  {300, 640, 200},
      {0, 8, 8},
  };
  return cases;
}

double cost_of(const WeightCase& c) {
  return static_cast<double>(c.rows) * static_cast<double>(c.in) * static_cast<double>(c.out);
}

std::string name_of(const WeightCase& c) {
  std::ostringstream text;
  text << "rows " << c.rows << ", in " << c.in << ", out " << c.out << ", gap " << c.gap << ", scale " << c.scale;
  return text.str();
}

struct WeightInputs {
  explicit WeightInputs(const WeightCase& c)
      : spec(c), x(c.rows, c.in, c.gap), dz(c.rows, c.out, c.gap), dweight(c.out, c.in), dbias(1, c.out) {
    Random random(static_cast<uint32_t>(c.rows * 3 + c.in + c.out * 7));
    for (Rows* rows : {&x, &dz, &dweight, &dbias}) rows->fill(random);
  }

  struct Result {
    Rows dweight, dbias;
  };

  // Adds rows begin .. end to the result.
  void add(const Backend& backend, DType dtype, DType x_dtype, int64_t begin, int64_t end, Result& result,
           Order order = Order::kAscending, bool weight = true, bool bias = true) const {
    const TypedRows from(x_dtype, x, begin, end);
    OpCall call(backend, order);
    call.run(backend.linear_weight_gradient, {.x = call.in(from),
                                              .x_stride = from.stride(),
                                              .x_dtype = x_dtype,
                                              .dz = call.in(dz, begin),
                                              .dz_stride = dz.stride(),
                                              .rows = end - begin,
                                              .in = spec.in,
                                              .out = spec.out,
                                              .dtype = dtype,
                                              .scale = spec.scale,
                                              .dweight = weight ? call.out(result.dweight) : nullptr,
                                              .dbias = bias ? call.out(result.dbias) : nullptr});
  }
  Result run(const Backend& backend, DType dtype, DType x_dtype, Order order = Order::kAscending) const {
    Result result{dweight, dbias};
    add(backend, dtype, x_dtype, 0, spec.rows, result, order);
    return result;
  }

  WeightCase spec;
  Rows x, dz, dweight, dbias;  // the last two: what is there before
};

WeightInputs magnitudes(const WeightInputs& inputs) {
  WeightInputs large = inputs;
  for (Rows* rows : {&large.x, &large.dz, &large.dweight, &large.dbias}) *rows = rows->magnitudes();
  large.spec.scale = std::abs(inputs.spec.scale);
  return large;
}

void expect_same_results(const WeightInputs::Result& got, const WeightInputs::Result& wanted) {
  expect_same_bits(got.dweight, wanted.dweight);
  expect_same_bits(got.dbias, wanted.dbias);
}

// Of rows + 1 addends, and the rounding of scale dz.
TEST_P(LinearGradientTest, OfTheWeightsAgreesWithReference) {
  for (const WeightCase& c : cases(weight_cases())) {
    const WeightInputs inputs(c), large = magnitudes(inputs);
    for (const DType dtype : supported(backend(), kTrained)) {
      for (const DType x : supported(backend(), kRowTypes)) {
        SCOPED_TRACE(name_of(c) + ", " + dtype_name(dtype) + ", x " + dtype_name(x));
        const auto got = inputs.run(backend(), dtype, x), wanted = inputs.run(reference_backend(), dtype, x),
                   sizes = large.run(reference_backend(), dtype, x);
        expect_close(got.dweight, wanted.dweight,
                     [&](int64_t o, int64_t k) { return sum_error(dtype, c.rows + 2, sizes.dweight.at(o, k)); });
        expect_close(got.dbias, wanted.dbias,
                     [&](int64_t, int64_t o) { return sum_error(DType::kF32, 2 * c.rows + 2, sizes.dbias.at(0, o)); });
      }
    }
  }
}

TEST_P(LinearGradientTest, OfTheWeightsAddsWholeNumbersExactly) {
  for (WeightCase c : cases(weight_cases())) {
    c.scale = c.scale == 1 ? 1.0f : 2.0f;
    WeightInputs inputs(c);
    Random random(static_cast<uint32_t>(c.in + c.out));
    for (Rows* rows : {&inputs.x, &inputs.dz, &inputs.dweight, &inputs.dbias})
      rows->each([&](float) { return static_cast<float>(random.integer(33) - 16); });
    for (const DType dtype : supported(backend(), kTrained)) {
      for (const DType x : supported(backend(), kRowTypes)) {
        SCOPED_TRACE(name_of(c) + ", " + dtype_name(dtype) + ", x " + dtype_name(x));
        const auto got = inputs.run(backend(), dtype, x), wanted = inputs.run(reference_backend(), dtype, x);
        const auto exact = [](int64_t, int64_t) { return 0.0; };
        expect_close(got.dweight, wanted.dweight, exact);
        expect_close(got.dbias, wanted.dbias, exact);
      }
    }
  }
}

TEST_P(LinearGradientTest, OfTheWeightsHasOneOrderForAnyThreads) {
  for (const WeightCase& c : cases(weight_cases())) {
    const WeightInputs inputs(c);
    for (const DType dtype : supported(backend(), kTrained)) {
      SCOPED_TRACE(name_of(c) + ", " + dtype_name(dtype));
      const auto all = inputs.run(backend(), dtype, DType::kF32);
      expect_same_results(inputs.run(backend(), dtype, DType::kF32, Order::kShuffled), all);
      expect_same_results(inputs.run(backend(), dtype, DType::kF32, Order::kThreads), all);
      WeightInputs::Result alone{inputs.dweight, inputs.dbias};
      inputs.add(backend(), dtype, DType::kF32, 0, c.rows, alone, Order::kAscending, true, false);
      inputs.add(backend(), dtype, DType::kF32, 0, c.rows, alone, Order::kAscending, false, true);
      expect_same_results(alone, all);
      WeightInputs::Result nothing{inputs.dweight, inputs.dbias};
      inputs.add(backend(), dtype, DType::kF32, 0, c.rows, nothing, Order::kAscending, false, false);
      expect_same_results(nothing, {inputs.dweight, inputs.dbias});
    }
  }
}

// Successive calls on a host continue the chain: runs of any length in float32, of an even one in bfloat16.
TEST_P(LinearGradientTest, OfTheWeightsContinuesItsSums) {
  if (!backend().host_memory) GTEST_SKIP() << "the order of " << backend().name << " is its own";
  for (const WeightCase& c : cases(weight_cases())) {
    const WeightInputs inputs(c);
    for (const DType dtype : supported(backend(), kTrained)) {
      SCOPED_TRACE(name_of(c) + ", " + dtype_name(dtype));
      const auto all = inputs.run(backend(), dtype, DType::kF32);
      for (const int64_t run : {int64_t{dtype == DType::kBF16 ? 2 : 1}, int64_t{14}, c.rows / 2 / 2 * 2}) {
        if (run < 1 || c.rows / run > 400) continue;
        WeightInputs::Result parts{inputs.dweight, inputs.dbias};
        for (int64_t begin = 0; begin < c.rows; begin += run)
          inputs.add(backend(), dtype, DType::kF32, begin, std::min(c.rows, begin + run), parts);
        expect_same_results(parts, all);
      }
    }
  }
}

// A NaN of x or dz spoils its own input or output, and nothing else.
TEST_P(LinearGradientTest, OfTheWeightsKeepsNaNInItsPlace) {
  WeightInputs inputs({21, 70, 19});
  const WeightInputs clean = inputs;
  inputs.x.at(20, 66) = std::numeric_limits<float>::quiet_NaN();
  inputs.dz.at(4, 17) = std::numeric_limits<float>::infinity();
  for (const DType dtype : supported(backend(), kTrained)) {
    const auto got = inputs.run(backend(), dtype, DType::kF32), wanted = clean.run(backend(), dtype, DType::kF32);
    for (int64_t o = 0; o < 19; ++o) {
      for (int64_t k = 0; k < 70; ++k) {
        if (k == 66 || o == 17)
          EXPECT_FALSE(std::isfinite(got.dweight.at(o, k))) << o << ", " << k;
        else
          ASSERT_EQ(got.dweight.at(o, k), wanted.dweight.at(o, k)) << o << ", " << k;
      }
      EXPECT_EQ(std::isfinite(got.dbias.at(0, o)), o != 17);
    }
  }
}

// --- of the input ---

TEST_P(LinearGradientTest, OfTheInputAgreesWithReference) {
  for (const LinearCase& c : cases(linear_cases())) {
    const LoraInputs inputs({c, {}}), large = inputs.magnitudes();
    for (const DType dtype : supported(backend(), kTrained)) {
      SCOPED_TRACE(name_of(c) + ", " + dtype_name(dtype));
      const PackedWeights packed(backend(), inputs.weights(dtype, kBoth)),
          own(reference_backend(), inputs.weights(dtype, kBoth)),
          own_large(reference_backend(), large.weights(dtype, kBoth));
      ASSERT_EQ(packed.status, kOk);
      EXPECT_TRUE(packed.weights->backward);
      const auto run = [&](const LoraInputs& from, const Backend& on, const PackedLinear* with) {
        return from.run_backward(on, with, 0, c.rows, c.residual).y;
      };
      const Rows sizes = run(large, reference_backend(), own_large.weights);
      expect_close(run(inputs, backend(), packed.weights), run(inputs, reference_backend(), own.weights),
                   [&](int64_t row, int64_t k) { return sum_error(dtype, c.out + 1, sizes.at(row, k)); });
    }
  }
}

TEST_P(LinearGradientTest, OfTheInputIsIndependentOfOtherRows) {
  for (const LinearCase& c : cases(linear_cases())) {
    const LoraInputs inputs({c, {}});
    for (const DType dtype : supported(backend(), kTrained)) {
      SCOPED_TRACE(name_of(c) + ", " + dtype_name(dtype));
      const PackedWeights packed(backend(), inputs.weights(dtype, kBoth));
      expect_rows_independent(c.rows, [&](int64_t begin, int64_t end, Order order) {
        return inputs.run_backward(backend(), packed.weights, begin, end, c.residual, order).y;
      });
    }
  }
}

// --- packing ---

struct Repack {
  const Backend& backend;
  PackedLinear* packed;
  const float *weight, *bias;
};
Status (*const kRepack)(Stream&, const Repack&) = [](Stream& stream, const Repack& r) {
  return r.backend.repack_linear(stream, r.packed, r.weight, r.bias);
};

// Weights for both passes have the forward pass of the others, and repacked ones are as if packed anew.
TEST_P(LinearGradientTest, RepackedWeightsHaveTheBitsOfPackedOnes) {
  for (const LinearCase& c : {LinearCase{5, 17, 15}, LinearCase{7, 100, 129}, LinearCase{4, 513, 66},
                              LinearCase{3, 1, 1}, LinearCase{8, 64, 200, Activation::kIdentity, false}}) {
    const LoraInputs inputs({c, {}});
    LoraInputs other({c, {}});
    other.layer.weight.each([](float w) { return 0.3f - w * 1.7f; });
    other.layer.bias.each([](float b) { return b + 1; });
    for (const DType dtype : supported(backend(), kTrained)) {
      SCOPED_TRACE(name_of(c) + ", " + dtype_name(dtype));
      const LinearTypes types{dtype, DType::kF32, DType::kF32};
      const PackedWeights forward(backend(), inputs.weights(dtype)), both(backend(), inputs.weights(dtype, kBoth)),
          repacked(backend(), other.weights(dtype, kBoth));
      const auto run = [&](const PackedWeights& with) {
        return inputs.run(backend(), with.weights, types, 0, c.rows).y;
      };
      const auto back = [&](const PackedWeights& with) {
        return inputs.run_backward(backend(), with.weights, 0, c.rows, false).y;
      };
      expect_same_bits(run(both), run(forward));
      EXPECT_GT(both.weights->bytes, 0u);
      for (const Order order : {Order::kAscending, Order::kThreads}) {
        OpCall call(backend(), order);
        call.run(kRepack, Repack{backend(), repacked.weights, call.in(inputs.layer.weight),
                                 c.bias ? call.in(inputs.layer.bias) : nullptr});
        expect_same_bits(run(repacked), run(both));
        expect_same_bits(back(repacked), back(both));
      }
      if (!c.bias) continue;
      // The bias alone, as where matrices are frozen.
      LoraInputs biased({c, {}});
      biased.layer.bias.each([](float b) { return 2 - b; });
      OpCall call(backend(), Order::kAscending);
      call.run(kRepack, Repack{backend(), repacked.weights, nullptr, call.in(biased.layer.bias)});
      const PackedWeights anew(backend(), biased.weights(dtype, kBoth));
      expect_same_bits(run(repacked), run(anew));
      expect_same_bits(back(repacked), back(anew));
    }
  }
}

TEST_P(LinearGradientTest, WeightsOfSixteenBitsArePackedAsTheSameFloats) {
  for (const DType file : {DType::kF16, DType::kBF16}) {
    LoraInputs inputs({{5, 33, 71}, {}});
    std::vector<uint16_t> halves;
    inputs.layer.weight.each([&](float value) {
      halves.push_back(file == DType::kF16 ? f32_to_f16(value) : f32_to_bf16(value));
      float kept = 0;
      to_float32(reinterpret_cast<const std::byte*>(&halves.back()), file, &kept, 1);
      return kept;
    });
    for (const DType dtype : supported(backend(), kTrained)) {
      LinearWeights weights = inputs.weights(dtype, kBoth);
      const PackedWeights floats(backend(), weights);
      weights.weight = halves.data();
      weights.weight_dtype = file;
      const PackedWeights packed(backend(), weights);
      ASSERT_EQ(packed.status, kOk);
      expect_same_bits(inputs.run_backward(backend(), packed.weights, 0, 5, false).y,
                       inputs.run_backward(backend(), floats.weights, 0, 5, false).y);
    }
  }
}

}  // namespace
}  // namespace embedcore::test
