// normalize and quantize of ops/vectors.h on every backend against the reference.
#include "ops/vectors.h"

#include "op_support.h"

namespace embedcore::test {
namespace {

class NormalizeTest : public OpTest {};
EMBEDCORE_EVERY_BACKEND(NormalizeTest);
class QuantizeTest : public OpTest {};
EMBEDCORE_EVERY_BACKEND(QuantizeTest);

Rows normalized(const Backend& backend, const Rows& x, int64_t begin, int64_t end, Order order = Order::kAscending) {
  Rows y(end - begin, x.width(), x.stride() - x.width());
  for (int64_t row = begin; row < end; ++row) std::copy_n(x.data(row), x.width(), y.data(row - begin));
  OpCall call(backend, order);
  call.run(backend.normalize, {.x = call.out(y), .stride = y.stride(), .rows = y.rows(), .width = y.width()});
  return y;
}

// A sum of n squares is off by (n + 1) u, its root by half of that and a rounding; the quotient and the wanted value
// are rounded too.
TEST_P(NormalizeTest, AgreesWithReference) {
  for (const ElementCase& c : cases(kElementCases)) {
    for (const double size : {1.0, 1e-5, 1e15}) {
      SCOPED_TRACE(testing::Message() << "rows " << c.rows << ", width " << c.width << ", size " << size);
      Random random(static_cast<uint32_t>(c.rows + c.width));
      Rows x(c.rows, c.width, c.gap);
      x.fill(random, -size, size);
      const Rows wanted = normalized(reference_backend(), x, 0, c.rows);
      expect_close(normalized(backend(), x, 0, c.rows), wanted, [&](int64_t row, int64_t column) {
        return kUnit * (0.5 * static_cast<double>(c.width + 1) + 3) * std::abs(wanted.at(row, column));
      });
      expect_rows_independent(
          c.rows, [&](int64_t begin, int64_t end, Order order) { return normalized(backend(), x, begin, end, order); });
    }
  }
}

TEST_P(NormalizeTest, NothingIsNotDividedByNothing) {
  Rows x(3, 20);
  x.each([](float) { return 0.0f; });
  x.at(1, 3) = 1e-13f;  // shorter than the least divisor
  x.at(2, 3) = 1e-30f;  // its square is no float
  const Rows y = normalized(backend(), x, 0, 3);
  for (int64_t d = 0; d < 20; ++d) EXPECT_EQ(y.at(0, d), 0.0f);
  EXPECT_NEAR(y.at(1, 3), 0.1, 0.1 * 3 * kUnit);  // the divisor, the dividend and the quotient are rounded
  EXPECT_NEAR(y.at(2, 3), 1e-18, 1e-18 * 3 * kUnit);
}

struct QuantizeInputs {
  QuantizeInputs(int64_t count, int64_t dimensions)
      : rows(count), width(dimensions), x(count, dimensions), minimum(1, dimensions), maximum(1, dimensions) {
    Random random(static_cast<uint32_t>(rows + width));
    minimum.fill(random, -2, -0.5);
    maximum.fill(random, 0.5, 2);
    x.fill(random, -2.5, 2.5);  // beyond the range too
    for (int64_t d = 0; d < width; ++d) {
      if (d % 5 == 1) maximum.at(0, d) = minimum.at(0, d);         // an empty range
      if (d % 5 == 2) maximum.at(0, d) = minimum.at(0, d) - 1.0f;  // minimum and maximum exchanged
    }
    const float special[] = {0.0f,
                             -0.0f,
                             std::numeric_limits<float>::infinity(),
                             -std::numeric_limits<float>::infinity(),
                             std::numeric_limits<float>::quiet_NaN(),
                             1e-45f,
                             3e38f,
                             -3e38f};
    for (int64_t i = 0; i < rows; ++i) {
      x.at(i, i % width) = minimum.at(0, i % width);
      x.at(i, (i + 3) % width) = maximum.at(0, (i + 3) % width);
      x.at(i, (i + 4) % width) = special[i % 8];
    }
  }
  std::vector<uint8_t> run(const Backend& backend, Precision precision, int64_t begin, int64_t end,
                           Order order = Order::kAscending) const {
    const bool levels = precision == Precision::kInt8 || precision == Precision::kUint8;
    std::vector<uint8_t> y(static_cast<size_t>((end - begin) * (levels ? width : (width + 7) / 8)), 0xa5);
    OpCall call(backend, order);
    call.run(backend.quantize, {.precision = precision,
                                .x = call.in(x, begin),
                                .rows = end - begin,
                                .width = width,
                                .minimum = levels ? call.in(minimum) : nullptr,
                                .maximum = levels ? call.in(maximum) : nullptr,
                                .y = call.out(y)});
    return y;
  }
  int64_t rows, width;
  Rows x, minimum, maximum;
};

// Levels are float32 arithmetic without sums: every backend gives the same bytes.
TEST_P(QuantizeTest, IsTheReference) {
  for (const auto& [rows, width] : {std::pair{1, 1}, {1, 8}, {3, 9}, {65, 7}, {130, 64}, {40, 33}, {5, 516}, {0, 16}}) {
    const QuantizeInputs inputs(rows, width);
    for (const Precision precision : kEveryPrecision) {
      SCOPED_TRACE(testing::Message() << "precision " << static_cast<int>(precision) << ", rows " << rows << ", width "
                                      << width);
      const std::vector<uint8_t> wanted = inputs.run(reference_backend(), precision, 0, rows);
      EXPECT_EQ(inputs.run(backend(), precision, 0, rows), wanted);
      EXPECT_EQ(inputs.run(backend(), precision, 0, rows, Order::kThreads), wanted);
      for (int64_t row = 0; row < rows; ++row) {
        const std::vector<uint8_t> alone = inputs.run(backend(), precision, row, row + 1);
        const auto from = wanted.begin() + row * static_cast<int64_t>(alone.size());
        EXPECT_TRUE(std::equal(alone.begin(), alone.end(), from)) << "row " << row;
      }
    }
  }
}

}  // namespace
}  // namespace embedcore::test
