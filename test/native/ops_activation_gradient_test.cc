// activation_gradient of ops/activation.h.
#include "gradient_check.h"
#include "ops/activation.h"
#include "reference/activation.h"

namespace embedcore::test {
namespace {

class ActivationGradientTest : public OpTest {};
EMBEDCORE_EVERY_BACKEND(ActivationGradientTest);
class SlopeTest : public OpTest {};
EMBEDCORE_EVERY_HOST_BACKEND(SlopeTest);

struct Kind {
  Activation activation;
  bool gated;
  DType dtype;
};

constexpr DType kDTypes[] = {DType::kF32, DType::kF16, DType::kBF16};

std::vector<Kind> every_kind(const Backend& backend) {
  std::vector<Kind> kinds;
  for (const Activation activation : kEveryActivation)
    for (const bool gated : {false, true})
      for (const DType dtype : supported(backend, kDTypes)) kinds.push_back({activation, gated, dtype});
  return kinds;
}

std::string name_of(const ElementCase& c, const Kind& kind) {
  return "rows " + std::to_string(c.rows) + ", width " + std::to_string(c.width) + ", gap " + std::to_string(c.gap) +
         ", activation " + std::to_string(static_cast<int>(kind.activation)) + (kind.gated ? ", gated, " : ", ") +
         dtype_name(kind.dtype);
}

// The bound on activation'(x) as a CPU computes it (cpu/slope.h).
double slope_error(Activation activation, double x) {
  switch (activation) {
    case Activation::kIdentity:
    case Activation::kRelu: return 0;
    case Activation::kGelu:
    case Activation::kGeluTanh: return 3e-7;
    case Activation::kSilu: return 4e-7;
    case Activation::kTanh:
    case Activation::kSigmoid: return 5e-7 * reference::activation_slope(activation, x) + 1e-37;
  }
  return 0;
}

double slope_error(const Backend& backend, Activation activation, double x, DType dtype) {
  if (activation == Activation::kIdentity || activation == Activation::kRelu) return 0;
  const double exact = slope_error(activation, x);
  if (dtype == DType::kF32) return exact;
  if (!backend.host_memory) return exact + (dtype == DType::kBF16 ? 0x1p-10 : 0x1p-13);  // what the contract allows
  return exact + (dtype == DType::kBF16 ? 1e-4 : 0);
}

struct Inputs {
  Inputs(const ElementCase& c, const Kind& how) : spec(c), kind(how), dy(c.rows, c.width, c.gap + 1) {
    Random random(static_cast<uint32_t>(c.rows * 31 + c.width));
    Rows numbers(c.rows, x_width(), c.gap);
    numbers.fill(random, -6, 6);
    dy.fill(random);
    x = TypedRows(kind.dtype, numbers).values();
  }
  int64_t x_width() const { return kind.gated ? 2 * spec.width : spec.width; }

  struct Results {
    Rows dx, y;
  };
  // Without y where it is not wanted; dx in dy's place where both have one width.
  Results run(const Backend& backend, int64_t begin, int64_t end, Order order = Order::kAscending, bool wants_y = true,
              bool in_place = false) const {
    const TypedRows from(kind.dtype, x, begin, end);
    TypedRows y(kind.dtype, end - begin, spec.width, spec.gap);
    Rows dx(end - begin, x_width(), in_place ? dy.stride() - spec.width : 2 * spec.gap);
    for (int64_t row = begin; in_place && row < end; ++row) std::copy_n(dy.data(row), spec.width, dx.data(row - begin));
    OpCall call(backend, order);
    float* const to = call.out(dx);
    call.run(backend.activation_gradient, {.x = call.in(from),
                                           .x_stride = from.stride(),
                                           .dy = in_place ? to : call.in(dy, begin),
                                           .dy_stride = dy.stride(),
                                           .dx = to,
                                           .dx_stride = dx.stride(),
                                           .y = wants_y ? call.out(y) : nullptr,
                                           .y_stride = y.stride(),
                                           .rows = end - begin,
                                           .width = spec.width,
                                           .activation = kind.activation,
                                           .gated = kind.gated,
                                           .dtype = kind.dtype});
    return {std::move(dx), y.values()};
  }

  Rows forward(const Backend& backend) const {
    const TypedRows from(kind.dtype, x);
    TypedRows y(kind.dtype, spec.rows, spec.width, spec.gap);
    OpCall call(backend);
    call.run(backend.activation, {.x = call.in(from),
                                  .x_stride = from.stride(),
                                  .y = call.out(y),
                                  .y_stride = y.stride(),
                                  .rows = spec.rows,
                                  .width = spec.width,
                                  .activation = kind.activation,
                                  .gated = kind.gated,
                                  .dtype = kind.dtype});
    return y.values();
  }

  const ElementCase& spec;
  Kind kind;
  Rows x{0, 0}, dy;
};

// The error of the derivative, or of the value in the second half of a gated gradient, times the other factors; up to
// three roundings, and one of the wanted value.
TEST_P(ActivationGradientTest, AgreesWithReference) {
  EMBEDCORE_NEEDS(activation_gradient);
  for (const ElementCase& c : cases(kElementCases)) {
    for (const Kind& kind : every_kind(backend())) {
      SCOPED_TRACE(name_of(c, kind));
      const Inputs inputs(c, kind);
      const Rows wanted = inputs.run(reference_backend(), 0, c.rows).dx;
      expect_close(inputs.run(backend(), 0, c.rows).dx, wanted, [&](int64_t row, int64_t column) {
        const int64_t j = column % c.width;
        const double x = inputs.x.at(row, j), dy = std::abs(static_cast<double>(inputs.dy.at(row, j)));
        const double up = kind.gated ? std::abs(static_cast<double>(inputs.x.at(row, c.width + j))) : 1.0;
        const double error = column < c.width ? slope_error(backend(), kind.activation, x, kind.dtype) * up
                                              : activation_error(backend(), kind.activation, x, kind.dtype);
        return error * dy + 4 * kUnit * std::abs(static_cast<double>(wanted.at(row, column)));
      });
    }
  }
}

// All NaNs are one: their sign is that of whichever operand an instruction took them from.
Rows with_one_nan(Rows rows) {
  rows.each([](float value) { return std::isnan(value) ? std::numeric_limits<float>::quiet_NaN() : value; });
  return rows;
}

// On every backend: recomputed rows must not differ from those that the forward pass went on with.
TEST_P(ActivationGradientTest, GivesTheBitsOfTheForwardPass) {
  EMBEDCORE_NEEDS(activation_gradient);
  for (const ElementCase& c : cases(kElementCases)) {
    for (const Kind& kind : every_kind(backend())) {
      SCOPED_TRACE(name_of(c, kind));
      Inputs inputs(c, kind);
      expect_same_bits(inputs.run(backend(), 0, c.rows).y, inputs.forward(backend()));
      // numbers of all sizes, and those that are none
      Random random(5);
      inputs.x.each([&](float) { return std::ldexp(random.value(), static_cast<int>(random.integer(40)) - 30); });
      if (c.rows > 0) {
        inputs.x.at(0, 0) = std::numeric_limits<float>::infinity();
        inputs.x.at(c.rows - 1, c.width - 1) = std::numeric_limits<float>::quiet_NaN();
      }
      inputs.x = TypedRows(kind.dtype, inputs.x).values();
      expect_same_bits(with_one_nan(inputs.run(backend(), 0, c.rows).y), with_one_nan(inputs.forward(backend())));
    }
  }
}

TEST_P(ActivationGradientTest, RowsAreIndependentBitForBitAndDyMayBeReplaced) {
  EMBEDCORE_NEEDS(activation_gradient);
  for (const ElementCase& c : cases(kElementCases)) {
    for (const Kind& kind : every_kind(backend())) {
      if (kind.activation != Activation::kSilu && kind.activation != Activation::kGelu) continue;
      SCOPED_TRACE(name_of(c, kind));
      const Inputs inputs(c, kind);
      expect_rows_independent(
          c.rows, [&](int64_t begin, int64_t end, Order order) { return inputs.run(backend(), begin, end, order).dx; });
      const Rows dx = inputs.run(backend(), 0, c.rows).dx;
      expect_same_bits(inputs.run(backend(), 0, c.rows, Order::kAscending, false).dx, dx);
      if (!kind.gated) expect_same_bits(inputs.run(backend(), 0, c.rows, Order::kAscending, true, true).dx, dx);
    }
  }
}

TEST_P(ActivationGradientTest, NaNStaysInItsElement) {
  EMBEDCORE_NEEDS(activation_gradient);
  const ElementCase c{3, 21};
  for (const Kind& kind : every_kind(backend())) {
    SCOPED_TRACE(name_of(c, kind));
    Inputs inputs(c, kind);
    const Rows clean = inputs.run(backend(), 0, c.rows).dx;
    inputs.x.at(1, 4) = inputs.dy.at(2, 20) = std::numeric_limits<float>::quiet_NaN();
    const Rows dx = inputs.run(backend(), 0, c.rows).dx;
    for (int64_t row = 0; row < c.rows; ++row) {
      for (int64_t column = 0; column < inputs.x_width(); ++column) {
        const int64_t j = column % c.width;
        const bool by_x = row == 1 && j == 4 && kind.activation != Activation::kIdentity;
        // the slope of the identity does not depend on x, but the second half of a gated gradient is its value
        const bool spoiled = by_x || (row == 1 && column == c.width + 4) || (row == 2 && j == 20);
        const bool kept = spoiled ? std::isnan(dx.at(row, column)) : dx.at(row, column) == clean.at(row, column);
        EXPECT_TRUE(kept) << "row " << row << ", column " << column << ": " << dx.at(row, column);
      }
    }
  }
}

// --- derivatives over dense grids, as in math_test.cc ---

std::vector<float> slopes(const Backend& backend, Activation activation, const std::vector<float>& x, DType dtype) {
  const auto width = static_cast<int64_t>(x.size());
  Rows row(1, width), dy(1, width), dx(1, width);
  std::copy(x.begin(), x.end(), row.data());
  dy.each([](float) { return 1.0f; });
  const TypedRows in(dtype, row);
  TestStream stream;
  expect_ok(backend.activation_gradient(stream, {.x = in.data(),
                                                 .x_stride = width,
                                                 .dy = dy.data(),
                                                 .dy_stride = width,
                                                 .dx = dx.data(),
                                                 .dx_stride = width,
                                                 .rows = 1,
                                                 .width = width,
                                                 .activation = activation,
                                                 .dtype = dtype}),
            stream);
  return {dx.data(), dx.data() + width};
}

// Against the bound and half the spacing of the floats around the result.
void expect_slopes(const Backend& backend, const std::vector<float>& x, DType dtype) {
  for (const Activation activation : kEveryActivation) {
    const std::vector<float> got = slopes(backend, activation, x, dtype);
    double worst = 0, at = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      const double wanted = reference::activation_slope(activation, x[i]);
      const double allowed = slope_error(backend, activation, x[i], dtype) + kUnit * std::abs(wanted);
      const double share = std::abs(got[i] - wanted) / allowed;
      if (!(share <= worst) && got[i] != wanted) worst = share, at = x[i];
    }
    testing::Test::RecordProperty(
        "slope_" + std::to_string(static_cast<int>(activation)) + (dtype == DType::kF32 ? "" : "_bfloat16"),
        std::to_string(worst));
    EXPECT_LE(worst, 1) << "of the bound, activation " << static_cast<int>(activation) << " at " << at;
  }
}

TEST_P(SlopeTest, IsWithinItsBounds) {
  std::vector<float> x;
  for (const double reach : {1e-3, 1.0, 12.0, 100.0})
    for (int i = -100000; i <= 100000; ++i) x.push_back(static_cast<float>(reach * i / 100000));
  for (const float huge : {200.0f, 1e6f, 1e13f, 3e37f, 3e38f}) x.insert(x.end(), {huge, -huge});
  expect_slopes(backend(), x, DType::kF32);
}

TEST_P(SlopeTest, IsWithinItsBoundsInBfloat16) {
  std::vector<float> x;
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = bf16_to_f32(static_cast<uint16_t>(bits));
    if (std::isfinite(value)) x.push_back(value);
  }
  expect_slopes(backend(), x, DType::kBF16);
}

// Of float64 functions: the truncation of central differences is 1e-10 times the third derivative, which is below 3,
// and their rounding 1e-16 / 1e-5.
TEST(ActivationSlope, ReferenceIsTheSlopeOfTheActivation) {
  constexpr double kStep = 1e-5;
  for (const Activation activation : kEveryActivation) {
    for (double x = -9.95; x < 10; x += 0.1) {
      const double above = reference::activate(activation, x + kStep),
                   below = reference::activate(activation, x - kStep);
      EXPECT_NEAR(reference::activation_slope(activation, x), (above - below) / (2 * kStep), 1e-9)
          << "activation " << static_cast<int>(activation) << " at " << x;
    }
  }
  EXPECT_EQ(reference::activation_slope(Activation::kRelu, 0.0), 0.0);
  for (const Activation activation : kEveryActivation) {
    for (const double huge : {1e3, 1e20, 3e38}) {
      const double end = activation == Activation::kTanh || activation == Activation::kSigmoid ? 0 : 1;
      EXPECT_EQ(reference::activation_slope(activation, huge), end);
      EXPECT_EQ(reference::activation_slope(activation, -huge), activation == Activation::kIdentity ? 1 : 0);
    }
  }
}

// A gated gradient has two factors; both halves are slopes of the same y.
TEST(ActivationGradient, ReferenceOfGatesIsTheSlopeOfTheirProduct) {
  const ElementCase c{2, 7, 1};
  for (const Activation activation : {Activation::kGelu, Activation::kSilu, Activation::kSigmoid}) {
    SCOPED_TRACE(static_cast<int>(activation));
    Inputs inputs(c, {activation, true, DType::kF32});
    inputs.x.each([](float value) { return value / 3; });
    const Rows dx = inputs.run(reference_backend(), 0, c.rows).dx;
    expect_differences(inputs.x, dx, projection_rounding(inputs.dy, inputs.forward(reference_backend())),
                       [&] { return projection(inputs.dy, inputs.forward(reference_backend())); });
  }
}

}  // namespace
}  // namespace embedcore::test
