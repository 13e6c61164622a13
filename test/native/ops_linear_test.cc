// ops/linear.h on every backend against the reference.
#include "ops/linear.h"

#include "op_cases.h"
#include "op_support.h"

namespace embedcore::test {
namespace {

class LinearTest : public OpTest {};
EMBEDCORE_EVERY_BACKEND(LinearTest);

struct Packed {
  Packed(const Backend& owner, const LinearWeights& weights) : backend(owner), weights(owner.pack_linear(weights)) {}
  ~Packed() { backend.free_linear(weights); }
  Packed(const Packed&) = delete;
  const Backend& backend;
  PackedLinear* weights;
};

struct Inputs {
  explicit Inputs(const LinearCase& c) : spec(c), x(c.rows, c.in, c.gap), weight(c.out, c.in), bias(1, c.out), residual(c.rows, c.out, c.gap) {
    Random random(static_cast<uint32_t>(c.rows * 31 + c.in * 7 + c.out));
    x.fill(random);
    // sums of about 1, where activations bend
    weight.fill(random, -2.5, 2.5).each([&](float w) { return w / std::sqrt(static_cast<float>(c.in)); });
    bias.fill(random);
    residual.fill(random);
  }

  LinearWeights weights() const { return {weight.data(), spec.bias ? bias.data() : nullptr, spec.in, spec.out}; }

  // Rows begin .. end of the result.
  Rows run(const Backend& backend, const PackedLinear* packed, int64_t begin, int64_t end, Order order = Order::kAscending) const {
    Rows y(end - begin, spec.out, spec.gap);
    const float* added = spec.residual ? residual.data(begin) : nullptr;
    if (spec.in_place)
      for (int64_t row = begin; row < end; ++row) std::copy_n(residual.data(row), spec.out, y.data(row - begin));
    TestScope scope(order);
    expect_ok(backend.linear(scope, {packed, x.data(begin), x.stride(), y.data(), y.stride(), end - begin, spec.activation, spec.in_place ? y.data() : added,
                                     residual.stride()}),
              scope);
    return y;
  }

  const LinearCase& spec;
  Rows x, weight, bias, residual;
};

// A sum of n products in float32, in any order, is within (n + 1) u of the sum of magnitudes; the activation stretches that by its
// slope and adds its own error; adding the residual and rounding the wanted value cost a unit each.
TEST_P(LinearTest, AgreesWithReference) {
  for (const LinearCase& c : kLinearCases) {
    SCOPED_TRACE(name_of(c));
    const Inputs inputs(c);
    const Packed fast(backend(), inputs.weights()), exact(reference_backend(), inputs.weights());
    ASSERT_NE(fast.weights, nullptr);
    EXPECT_EQ(fast.weights->in, c.in);
    EXPECT_EQ(fast.weights->out, c.out);
    EXPECT_GE(fast.weights->bytes, static_cast<size_t>(c.out * (c.in + (c.bias ? 1 : 0))) * sizeof(float));

    LinearCase plain = c;
    plain.activation = Activation::kIdentity;
    plain.residual = plain.in_place = false;
    Inputs magnitudes(plain);
    const Rows sums = Inputs(plain).run(reference_backend(), exact.weights, 0, c.rows);
    magnitudes.x = magnitudes.x.magnitudes();
    magnitudes.weight = magnitudes.weight.magnitudes();
    magnitudes.bias = magnitudes.bias.magnitudes();
    const Packed absolute(reference_backend(), magnitudes.weights());
    const Rows sizes = magnitudes.run(reference_backend(), absolute.weights, 0, c.rows);

    const Rows wanted = inputs.run(reference_backend(), exact.weights, 0, c.rows);
    expect_close(inputs.run(backend(), fast.weights, 0, c.rows), wanted, [&](int64_t row, int64_t column) {
      const double slack = static_cast<double>(c.in + 2) * kUnit * sizes.at(row, column);
      return kSteepest * slack + activation_error(c.activation, sums.at(row, column)) + 2 * kUnit * std::abs(wanted.at(row, column)) +
             (c.residual ? kUnit * std::abs(wanted.at(row, column)) : 0);
    });
  }
}

TEST_P(LinearTest, RowsAreIndependentBitForBit) {
  for (const LinearCase& c : kLinearCases) {
    SCOPED_TRACE(name_of(c));
    const Inputs inputs(c);
    const Packed packed(backend(), inputs.weights());
    expect_rows_independent(c.rows, [&](int64_t begin, int64_t end, Order order) { return inputs.run(backend(), packed.weights, begin, end, order); });
  }
}

TEST_P(LinearTest, NonFiniteInputStaysInItsRow) {
  const LinearCase c{13, 33, 70, Activation::kGelu};
  Inputs inputs(c);
  const Packed packed(backend(), inputs.weights());
  const Rows clean = inputs.run(backend(), packed.weights, 0, c.rows);
  inputs.x.at(4, 7) = std::numeric_limits<float>::quiet_NaN();
  inputs.x.at(9, 0) = std::numeric_limits<float>::infinity();
  const Rows spoiled = inputs.run(backend(), packed.weights, 0, c.rows);
  for (int64_t row = 0; row < c.rows; ++row) {
    for (int64_t column = 0; column < c.out; ++column) {
      if (row == 4) {
        ASSERT_TRUE(std::isnan(spoiled.at(row, column)));
      } else if (row != 9) {
        ASSERT_EQ(std::bit_cast<uint32_t>(spoiled.at(row, column)), std::bit_cast<uint32_t>(clean.at(row, column))) << "row " << row;
      }
    }
  }
}

// A NaN in a sum must reach the result: a model that overflowed has to be seen to have done so.
TEST_P(LinearTest, EveryActivationKeepsNaN) {
  for (const Activation activation : kEveryActivation) {
    const LinearCase c{3, 5, 37, activation};
    Inputs inputs(c);
    inputs.x.at(1, 2) = std::numeric_limits<float>::quiet_NaN();
    const Packed packed(backend(), inputs.weights());
    const Rows y = inputs.run(backend(), packed.weights, 0, c.rows);
    for (int64_t column = 0; column < c.out; ++column) {
      EXPECT_TRUE(std::isnan(y.at(1, column))) << "activation " << static_cast<int>(activation) << ", column " << column;
      EXPECT_TRUE(std::isfinite(y.at(0, column)) && std::isfinite(y.at(2, column))) << "activation " << static_cast<int>(activation);
    }
  }
}

TEST_P(LinearTest, PackingMoreThanMemoryGivesNull) {
  const float one = 1;
  for (const Backend* tried : {&backend(), &reference_backend()}) {
    EXPECT_EQ(tried->pack_linear({&one, nullptr, int64_t{1} << 29, int64_t{1} << 29}), nullptr) << tried->name;
    tried->free_linear(nullptr);
  }
}

}  // namespace
}  // namespace embedcore::test
