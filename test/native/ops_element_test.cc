// ops/gate.h and ops/fuse.h on every backend against the reference.
#include "op_cases.h"
#include "op_support.h"
#include "ops/fuse.h"
#include "ops/gate.h"

namespace embedcore::test {
namespace {

class GateTest : public OpTest {};
EMBEDCORE_EVERY_BACKEND(GateTest);
class FuseTest : public OpTest {};
EMBEDCORE_EVERY_BACKEND(FuseTest);

std::string name_of(const ElementCase& c) {
  return "rows " + std::to_string(c.rows) + ", width " + std::to_string(c.width) + ", gap " + std::to_string(c.gap);
}

constexpr DType kDTypes[] = {DType::kF32, DType::kBF16};

Rows gate(const Backend& backend, const Rows& x, Activation activation, DType dtype, int64_t begin, int64_t end,
          Order order = Order::kAscending) {
  const TypedRows from(dtype, x, begin, end);
  TypedRows y(dtype, end - begin, x.width() / 2, x.stride() - x.width());
  TestStream stream(order);
  expect_ok(backend.gate(stream, {from.data(), from.stride(), y.data(), y.stride(), end - begin, x.width() / 2,
                                 activation, dtype}),
            stream);
  return y.values();
}

// Of the dtype's values.
Rows gate_input(const ElementCase& c, DType dtype) {
  Random random(static_cast<uint32_t>(c.rows * 31 + c.width));
  Rows x(c.rows, 2 * c.width, c.gap);
  x.fill(random, -6, 6);
  return TypedRows(dtype, x).values();
}

// The activation's own error times the other factor, and a rounding each for the product and the wanted value; then
// that to bfloat16, of which the reference's float32 result has none.
TEST_P(GateTest, AgreesWithReference) {
  for (const ElementCase& c : kElementCases) {
    for (const DType dtype : kDTypes) {
      const Rows x = gate_input(c, dtype);
      for (const Activation activation : kEveryActivation) {
        SCOPED_TRACE(name_of(c) + ", activation " + std::to_string(static_cast<int>(activation)) + ", " +
                     dtype_name(dtype));
        const Rows wanted = gate(reference_backend(), x, activation, DType::kF32, 0, c.rows);
        expect_close(gate(backend(), x, activation, dtype, 0, c.rows), wanted, [&](int64_t row, int64_t column) {
          const double size = std::abs(wanted.at(row, column));
          const double error =
              activation_error(activation, x.at(row, column), dtype) * std::abs(x.at(row, c.width + column)) +
              2 * kUnit * size;
          return error + row_rounding(dtype, size + error);
        });
      }
    }
  }
}

TEST_P(GateTest, RowsAreIndependentBitForBitAndMayBeReplaced) {
  for (const ElementCase& c : kElementCases) {
    for (const DType dtype : kDTypes) {
      for (const Activation activation : {Activation::kSilu, Activation::kGelu}) {
        SCOPED_TRACE(name_of(c) + ", " + dtype_name(dtype));
        const Rows x = gate_input(c, dtype);
        expect_rows_independent(c.rows, [&](int64_t begin, int64_t end, Order order) {
          return gate(backend(), x, activation, dtype, begin, end, order);
        });

        const Rows y = gate(backend(), x, activation, dtype, 0, c.rows);
        TypedRows in_place(dtype, x);
        TestStream stream;
        expect_ok(backend().gate(stream, {in_place.data(), in_place.stride(), in_place.data(), in_place.stride(), c.rows,
                                         c.width, activation, dtype}),
                  stream);
        const Rows same = in_place.values();
        for (int64_t row = 0; row < c.rows; ++row) {
          for (int64_t column = 0; column < c.width; ++column) {
            ASSERT_EQ(std::bit_cast<uint32_t>(same.at(row, column)), std::bit_cast<uint32_t>(y.at(row, column)));
            ASSERT_EQ(same.at(row, c.width + column), x.at(row, c.width + column));  // the up half is only read
          }
        }
      }
    }
  }
}

TEST_P(GateTest, NaNStaysInItsElement) {
  for (const DType dtype : kDTypes) {
    for (const Activation activation : kEveryActivation) {
      const ElementCase c{3, 21};
      Rows x = gate_input(c, dtype);
      const Rows clean = gate(backend(), x, activation, dtype, 0, c.rows);
      x.at(1, 4) = x.at(2, c.width + 20) = std::numeric_limits<float>::quiet_NaN();  // a gate and an up
      const Rows y = gate(backend(), x, activation, dtype, 0, c.rows);
      for (int64_t row = 0; row < c.rows; ++row) {
        for (int64_t column = 0; column < c.width; ++column) {
          const bool spoiled = (row == 1 && column == 4) || (row == 2 && column == 20);
          const bool kept = spoiled ? std::isnan(y.at(row, column)) : y.at(row, column) == clean.at(row, column);
          EXPECT_TRUE(kept) << dtype_name(dtype) << ", activation " << static_cast<int>(activation) << ", row " << row
                            << ", column " << column << ": " << y.at(row, column);
        }
      }
    }
  }
}

Rows fuse(const Backend& backend, const Rows& x, const Rows& before, float factor, bool first) {
  Rows y = before;
  TestStream stream;
  expect_ok(backend.fuse(stream, {x.data(), x.stride(), y.data(), y.stride(), x.rows(), x.width(), factor, first}),
            stream);
  return y;
}

// One product and one addition, each rounded or both together.
TEST_P(FuseTest, AgreesWithReference) {
  for (const ElementCase& c : kElementCases) {
    for (const bool first : {true, false}) {
      for (const float factor : {1.0f, 0.5f, 1.0f / 3, -2.7f, 0.0f}) {
        SCOPED_TRACE(name_of(c) + (first ? ", first, factor " : ", factor ") + std::to_string(factor));
        Random random(static_cast<uint32_t>(c.rows + c.width));
        Rows x(c.rows, c.width, c.gap), before(c.rows, c.width, 2 * c.gap);
        x.fill(random);
        // what lay in y before the first state must not count
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
