// ops/norm.h on every backend against the reference.
#include "ops/norm.h"

#include "op_cases.h"
#include "op_support.h"

namespace embedcore::test {
namespace {

class NormTest : public OpTest {};
EMBEDCORE_EVERY_BACKEND(NormTest);

struct Inputs {
  explicit Inputs(const NormCase& c) : spec(c), x(c.rows, c.width, c.gap), weight(1, c.width), bias(1, c.width) {
    Random random(static_cast<uint32_t>(c.rows * 31 + c.width));
    x.fill(random, c.offset - c.size, c.offset + c.size);
    weight.fill(random, 0.5, 1.5);
    bias.fill(random);
  }

  Rows run(const Backend& backend, NormKind kind, int64_t begin, int64_t end, Order order = Order::kAscending) const {
    Rows y(end - begin, spec.width, spec.gap);
    if (spec.in_place)
      for (int64_t row = begin; row < end; ++row) std::copy_n(x.data(row), spec.width, y.data(row - begin));
    TestScope scope(order);
    expect_ok(backend.norm(scope, {kind, spec.in_place ? y.data() : x.data(begin), spec.in_place ? y.stride() : x.stride(), y.data(), y.stride(), end - begin, spec.width,
                                   spec.weight ? weight.data() : nullptr, spec.bias ? bias.data() : nullptr, spec.epsilon}),
              scope);
    return y;
  }

  const NormCase& spec;
  Rows x, weight, bias;
};

// The mean of n numbers in float32 is off by m = n u mean|x| at most. That shifts every difference and, squared, the variance; the
// sum of n squares adds (n + 3) u, of which the root takes half. Four roundings end it.
TEST_P(NormTest, AgreesWithReference) {
  for (const NormCase& c : kNormCases) {
    for (const NormKind kind : {NormKind::kLayer, NormKind::kRms}) {
      SCOPED_TRACE(name_of(c) + (kind == NormKind::kRms ? ", rms" : ", layer"));
      const Inputs inputs(c);
      const Rows wanted = inputs.run(reference_backend(), kind, 0, c.rows);
      const double n = static_cast<double>(c.width);
      expect_close(inputs.run(backend(), kind, 0, c.rows), wanted, [&](int64_t row, int64_t column) {
        double mean = 0, size = 0, variance = 0;
        for (int64_t d = 0; d < c.width; ++d) mean += inputs.x.at(row, d) / n, size += std::abs(inputs.x.at(row, d)) / n;
        if (kind == NormKind::kRms) mean = size = 0;
        for (int64_t d = 0; d < c.width; ++d) variance += (inputs.x.at(row, d) - mean) * (inputs.x.at(row, d) - mean) / n;
        variance += static_cast<double>(c.epsilon);
        const double mean_error = (n + 1) * kUnit * size;
        const double root_error = 0.5 * ((n + 3) * kUnit + mean_error * mean_error / variance) + 2 * kUnit;
        const double weight = c.weight ? inputs.weight.at(0, column) : 1.0;
        const double value = std::abs(inputs.x.at(row, column) - mean) / std::sqrt(variance);
        return weight * (mean_error / std::sqrt(variance) + value * (root_error + 4 * kUnit)) + 2 * kUnit * std::abs(wanted.at(row, column));
      });
    }
  }
}

TEST_P(NormTest, RowsAreIndependentBitForBit) {
  for (const NormCase& c : kNormCases) {
    for (const NormKind kind : {NormKind::kLayer, NormKind::kRms}) {
      SCOPED_TRACE(name_of(c));
      const Inputs inputs(c);
      expect_rows_independent(c.rows, [&](int64_t begin, int64_t end, Order order) { return inputs.run(backend(), kind, begin, end, order); });
    }
  }
}

TEST_P(NormTest, NonFiniteInputStaysInItsRow) {
  const NormCase c{5, 33};
  for (const NormKind kind : {NormKind::kLayer, NormKind::kRms}) {
    Inputs inputs(c);
    const Rows clean = inputs.run(backend(), kind, 0, c.rows);
    inputs.x.at(2, 32) = std::numeric_limits<float>::quiet_NaN();
    const Rows spoiled = inputs.run(backend(), kind, 0, c.rows);
    for (int64_t row = 0; row < c.rows; ++row) {
      for (int64_t column = 0; column < c.width; ++column) {
        if (row == 2)
          ASSERT_TRUE(std::isnan(spoiled.at(row, column)));
        else
          ASSERT_EQ(std::bit_cast<uint32_t>(spoiled.at(row, column)), std::bit_cast<uint32_t>(clean.at(row, column)));
      }
    }
  }
}

}  // namespace
}  // namespace embedcore::test
