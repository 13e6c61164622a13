// The lengths that normalize keeps, and normalize_gradient (ops/vectors.h).
#include "gradient_check.h"
#include "ops/vectors.h"

namespace embedcore::test {
namespace {

class NormalizeGradientTest : public OpTest {};
EMBEDCORE_EVERY_BACKEND(NormalizeGradientTest);

struct Normalized {
  Rows y, lengths;
};

Normalized normalized(const Backend& backend, const Rows& x, int64_t begin, int64_t end,
                      Order order = Order::kAscending) {
  Normalized result{Rows(end - begin, x.width(), x.stride() - x.width()), Rows(end - begin, 1)};
  for (int64_t row = begin; row < end; ++row) std::copy_n(x.data(row), x.width(), result.y.data(row - begin));
  OpCall call(backend, order);
  call.run(backend.normalize, {.x = call.out(result.y),
                               .stride = result.y.stride(),
                               .rows = end - begin,
                               .width = x.width(),
                               .lengths = call.out(result.lengths)});
  return result;
}

struct Inputs {
  Inputs(const ElementCase& c, double size) : x(c.rows, c.width, c.gap), dy(c.rows, c.width, c.gap + 2) {
    Random random(static_cast<uint32_t>(c.rows + c.width));
    x.fill(random, -size, size);
    dy.fill(random);
    forward();
  }
  void forward() {
    auto result = normalized(reference_backend(), x, 0, x.rows());
    y = std::move(result.y);
    lengths = std::move(result.lengths);
  }
  Rows run(const Backend& backend, int64_t begin, int64_t end, Order order = Order::kAscending,
           bool in_place = false) const {
    Rows dx(end - begin, x.width(), in_place ? dy.stride() - x.width() : x.stride() - x.width() + 1);
    for (int64_t row = begin; in_place && row < end; ++row) std::copy_n(dy.data(row), x.width(), dx.data(row - begin));
    OpCall call(backend, order);
    float* const to = call.out(dx);
    call.run(backend.normalize_gradient, {.y = call.in(y, begin),
                                          .y_stride = y.stride(),
                                          .lengths = call.in(lengths, begin),
                                          .dy = in_place ? to : call.in(dy, begin),
                                          .dy_stride = dy.stride(),
                                          .dx = to,
                                          .dx_stride = dx.stride(),
                                          .rows = end - begin,
                                          .width = x.width()});
    return dx;
  }
  Rows x, dy, y{0, 0}, lengths{0, 1};
};

// As in ops_vectors_test.cc: half of the sum's (n + 1) u, the root, the wanted value. Vectors are the same with and
// without lengths.
TEST_P(NormalizeGradientTest, LengthsAgreeWithReference) {
  EMBEDCORE_NEEDS(normalize_gradient);
  for (const ElementCase& c : cases(kElementCases)) {
    for (const double size : {1.0, 1e-5, 1e15}) {
      SCOPED_TRACE(testing::Message() << "rows " << c.rows << ", width " << c.width << ", size " << size);
      const Inputs inputs(c, size);
      const Normalized got = normalized(backend(), inputs.x, 0, c.rows);
      expect_close(got.lengths, inputs.lengths, [&](int64_t row, int64_t) {
        return kUnit * (0.5 * static_cast<double>(c.width + 1) + 2) * static_cast<double>(inputs.lengths.at(row, 0));
      });
      expect_rows_independent(c.rows, [&](int64_t begin, int64_t end, Order order) {
        return normalized(backend(), inputs.x, begin, end, order).lengths;
      });
      Rows y = inputs.x;
      OpCall call(backend());
      call.run(backend().normalize, {.x = call.out(y), .stride = y.stride(), .rows = c.rows, .width = c.width});
      expect_same_bits(got.y, y);
    }
  }
}

// The length before it is made at least 1e-12. A row whose squares are no floats has a length of 0.
TEST_P(NormalizeGradientTest, ShortRowsHaveTheirOwnLengthAndTheSlopeOfTheDivisor) {
  EMBEDCORE_NEEDS(normalize_gradient);
  Inputs inputs({4, 20}, 0);
  inputs.x.at(1, 3) = 1e-13f;
  inputs.x.at(2, 3) = 1e-30f;
  inputs.x.at(3, 3) = 2e-12f;
  inputs.forward();
  const Normalized got = normalized(backend(), inputs.x, 0, 4);
  EXPECT_EQ(got.lengths.at(0, 0), 0.0f);
  EXPECT_NEAR(got.lengths.at(1, 0), 1e-13, 1e-13 * 4 * kUnit);  // the value itself, its square, the root
  EXPECT_LE(got.lengths.at(2, 0), 1e-22f);
  EXPECT_NEAR(got.lengths.at(3, 0), 2e-12, 2e-12 * 4 * kUnit);
  const Rows dx = inputs.run(backend(), 0, 4);
  for (int64_t d = 0; d < 20; ++d) {
    for (const int64_t row : {0, 1, 2})
      EXPECT_NEAR(dx.at(row, d), inputs.dy.at(row, d) * 1e12, std::abs(inputs.dy.at(row, d)) * 1e12 * 3 * kUnit);
    // y is 1 there, so nothing is left of dy along it
    const double wanted = d == 3 ? 0 : inputs.dy.at(3, d) / 2e-12;
    EXPECT_NEAR(dx.at(3, d), wanted, 1e12 * 8 * kUnit);
  }
}

// y . dy is off by n u of the sum of its magnitudes; its product with y, the difference and the quotient are rounded.
TEST_P(NormalizeGradientTest, AgreesWithReference) {
  EMBEDCORE_NEEDS(normalize_gradient);
  for (const ElementCase& c : cases(kElementCases)) {
    for (const double size : {1.0, 1e-5, 1e15}) {
      SCOPED_TRACE(testing::Message() << "rows " << c.rows << ", width " << c.width << ", size " << size);
      const Inputs inputs(c, size);
      const Rows wanted = inputs.run(reference_backend(), 0, c.rows);
      std::vector<double> along(static_cast<size_t>(c.rows));
      for (int64_t row = 0; row < c.rows; ++row)
        for (int64_t d = 0; d < c.width; ++d)
          along[static_cast<size_t>(row)] += std::abs(static_cast<double>(inputs.y.at(row, d)) * inputs.dy.at(row, d));
      expect_close(inputs.run(backend(), 0, c.rows), wanted, [&](int64_t row, int64_t d) {
        const double dy = std::abs(inputs.dy.at(row, d)), y = std::abs(inputs.y.at(row, d));
        const double parts = dy + y * along[static_cast<size_t>(row)] * (static_cast<double>(c.width) + 3);
        return kUnit * (parts / static_cast<double>(inputs.lengths.at(row, 0)) + 2 * std::abs(wanted.at(row, d)));
      });
      expect_rows_independent(
          c.rows, [&](int64_t begin, int64_t end, Order order) { return inputs.run(backend(), begin, end, order); });
      expect_same_bits(inputs.run(backend(), 0, c.rows, Order::kAscending, true), inputs.run(backend(), 0, c.rows));
    }
  }
}

TEST_P(NormalizeGradientTest, NonFiniteInputStaysInItsRow) {
  EMBEDCORE_NEEDS(normalize_gradient);
  Inputs inputs({4, 21}, 1);
  const Rows clean = inputs.run(backend(), 0, 4);
  inputs.dy.at(1, 20) = inputs.y.at(2, 3) = std::numeric_limits<float>::quiet_NaN();
  const Rows dx = inputs.run(backend(), 0, 4);
  for (int64_t d = 0; d < 21; ++d) {
    ASSERT_TRUE(std::isnan(dx.at(1, d)) && std::isnan(dx.at(2, d)));
    ASSERT_TRUE(dx.at(0, d) == clean.at(0, d) && dx.at(3, d) == clean.at(3, d));
  }
}

TEST(NormalizeGradient, ReferenceIsTheSlopeOfTheNormalization) {
  Inputs inputs({3, 7, 1}, 1);
  const Rows dx = inputs.run(reference_backend(), 0, 3);
  const auto forward = [&] { return normalized(reference_backend(), inputs.x, 0, 3).y; };
  expect_differences(inputs.x, dx, projection_rounding(inputs.dy, forward()),
                     [&] { return projection(inputs.dy, forward()); });
}

}  // namespace
}  // namespace embedcore::test
