// ops/activation.h and ops/fuse.h on every backend against the reference.
#include "op_support.h"
#include "ops/activation.h"
#include "ops/fuse.h"

namespace embedcore::test {
namespace {

class ActivationTest : public OpTest {};
EMBEDCORE_EVERY_BACKEND(ActivationTest);
class FuseTest : public OpTest {};
EMBEDCORE_EVERY_BACKEND(FuseTest);

std::string name_of(const ElementCase& c) {
  return "rows " + std::to_string(c.rows) + ", width " + std::to_string(c.width) + ", gap " + std::to_string(c.gap);
}

// How rows are activated.
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

std::string name_of(const Kind& kind) {
  return "activation " + std::to_string(static_cast<int>(kind.activation)) + (kind.gated ? ", gated, " : ", ") +
         dtype_name(kind.dtype);
}

// x [rows, width], or twice as wide where it is gated: of the dtype's values.
Rows input_of(const ElementCase& c, const Kind& kind) {
  Random random(static_cast<uint32_t>(c.rows * 31 + c.width));
  Rows x(c.rows, kind.gated ? 2 * c.width : c.width, c.gap);
  x.fill(random, -6, 6);
  return TypedRows(kind.dtype, x).values();
}

void run(const Backend& backend, const TypedRows& x, TypedRows& y, int64_t rows, int64_t width, const Kind& kind,
         Order order = Order::kAscending) {
  OpCall call(backend, order);
  call.run(backend.activation, {.x = call.in(x),
                                .x_stride = x.stride(),
                                .y = call.out(y),
                                .y_stride = y.stride(),
                                .rows = rows,
                                .width = width,
                                .activation = kind.activation,
                                .gated = kind.gated,
                                .dtype = kind.dtype});
}

Rows activated(const Backend& backend, const Rows& x, const ElementCase& c, const Kind& kind, int64_t begin,
               int64_t end, Order order = Order::kAscending) {
  const TypedRows from(kind.dtype, x, begin, end);
  TypedRows y(kind.dtype, end - begin, c.width, c.gap);
  run(backend, from, y, end - begin, c.width, kind, order);
  return y.values();
}

// The activation's own error, times the other factor where it is gated; a rounding each for the product and the wanted
// value; then that to 16 bits, of which the reference's float32 result has none.
TEST_P(ActivationTest, AgreesWithReference) {
  for (const ElementCase& c : cases(kElementCases)) {
    for (const Kind& kind : every_kind(backend())) {
      SCOPED_TRACE(name_of(c) + ", " + name_of(kind));
      const Rows x = input_of(c, kind);
      const Rows wanted = activated(reference_backend(), x, c, {kind.activation, kind.gated, DType::kF32}, 0, c.rows);
      const Rows got = activated(backend(), x, c, kind, 0, c.rows);
      expect_rounded_close(kind.dtype, got, wanted, [&](int64_t row, int64_t column) {
        const double factor = kind.gated ? std::abs(x.at(row, c.width + column)) : 1.0;
        return activation_error(backend(), kind.activation, x.at(row, column), kind.dtype) * factor +
               2 * kUnit * std::abs(wanted.at(row, column));
      });
    }
  }
}

TEST_P(ActivationTest, RowsAreIndependentBitForBitAndMayBeReplaced) {
  for (const ElementCase& c : cases(kElementCases)) {
    for (const Kind& kind : every_kind(backend())) {
      if (kind.activation != Activation::kSilu && kind.activation != Activation::kGelu) continue;
      SCOPED_TRACE(name_of(c) + ", " + name_of(kind));
      const Rows x = input_of(c, kind);
      expect_rows_independent(c.rows, [&](int64_t begin, int64_t end, Order order) {
        return activated(backend(), x, c, kind, begin, end, order);
      });

      const Rows y = activated(backend(), x, c, kind, 0, c.rows);
      TypedRows in_place(kind.dtype, x);
      run(backend(), in_place, in_place, c.rows, c.width, kind);
      const Rows same = in_place.values();
      for (int64_t row = 0; row < c.rows; ++row) {
        for (int64_t column = 0; column < c.width; ++column) {
          ASSERT_EQ(std::bit_cast<uint32_t>(same.at(row, column)), std::bit_cast<uint32_t>(y.at(row, column)));
          if (!kind.gated) continue;
          ASSERT_EQ(same.at(row, c.width + column), x.at(row, c.width + column));  // the second half is only read
        }
      }
    }
  }
}

TEST_P(ActivationTest, NaNStaysInItsElement) {
  const ElementCase c{3, 21};
  for (const Kind& kind : every_kind(backend())) {
    SCOPED_TRACE(name_of(kind));
    Rows x = input_of(c, kind);
    const Rows clean = activated(backend(), x, c, kind, 0, c.rows);
    // a gate and, where there is one, a factor
    x.at(1, 4) = x.at(2, (kind.gated ? c.width : 0) + 20) = std::numeric_limits<float>::quiet_NaN();
    const Rows y = activated(backend(), x, c, kind, 0, c.rows);
    for (int64_t row = 0; row < c.rows; ++row) {
      for (int64_t column = 0; column < c.width; ++column) {
        const bool spoiled = (row == 1 && column == 4) || (row == 2 && column == 20);
        const bool kept = spoiled ? std::isnan(y.at(row, column)) : y.at(row, column) == clean.at(row, column);
        EXPECT_TRUE(kept) << "row " << row << ", column " << column << ": " << y.at(row, column);
      }
    }
  }
}

Rows fuse(const Backend& backend, const Rows& x, const Rows& before, float factor, bool first) {
  Rows y = before;
  OpCall call(backend);
  call.run(backend.fuse, {.x = call.in(x),
                          .x_stride = x.stride(),
                          .y = call.out(y),
                          .y_stride = y.stride(),
                          .rows = x.rows(),
                          .width = x.width(),
                          .factor = factor,
                          .first = first});
  return y;
}

// One product and one addition, each rounded or both together.
TEST_P(FuseTest, AgreesWithReference) {
  for (const ElementCase& c : cases(kElementCases)) {
    for (const bool first : {true, false}) {
      for (const float factor : {1.0f, 0.5f, 1.0f / 3, -2.7f, 0.0f}) {
        SCOPED_TRACE(name_of(c) + (first ? ", first, factor " : ", factor ") + std::to_string(factor));
        Random random(static_cast<uint32_t>(c.rows + c.width));
        Rows x(c.rows, c.width, c.gap), before(c.rows, c.width, 2 * c.gap);
        x.fill(random);
        // what y held before the first state must not count
        before.each([&](float old) { return first ? old : random.value(); });
        const Rows wanted = fuse(reference_backend(), x, before, factor, first);
        expect_close(fuse(backend(), x, before, factor, first), wanted, [&](int64_t row, int64_t column) {
          return kUnit * (std::abs(x.at(row, column) * factor) + 2 * std::abs(wanted.at(row, column)));
        });
      }
    }
  }
}

}  // namespace
}  // namespace embedcore::test
