// ops/gate.h and ops/combine.h on every backend against the reference.
#include "op_cases.h"
#include "op_support.h"
#include "ops/combine.h"
#include "ops/gate.h"

namespace embedcore::test {
namespace {

class GateTest : public OpTest {};
EMBEDCORE_EVERY_BACKEND(GateTest);
class CombineTest : public OpTest {};
EMBEDCORE_EVERY_BACKEND(CombineTest);

std::string name_of(const ElementCase& c) { return "rows " + std::to_string(c.rows) + ", width " + std::to_string(c.width) + ", gap " + std::to_string(c.gap); }

Rows gate(const Backend& backend, const Rows& x, Activation activation, int64_t begin, int64_t end, Order order = Order::kAscending) {
  const int64_t width = x.width() / 2;
  Rows y(end - begin, width, x.stride() - x.width());
  TestScope scope(order);
  expect_ok(backend.gate(scope, {x.data(begin), x.stride(), y.data(), y.stride(), end - begin, width, activation}), scope);
  return y;
}

Rows gate_input(const ElementCase& c) {
  Random random(static_cast<uint32_t>(c.rows * 31 + c.width));
  Rows x(c.rows, 2 * c.width, c.gap);
  x.fill(random, -6, 6);
  return x;
}

// The activation's own error times the other factor, and a rounding each for the product and the wanted value.
TEST_P(GateTest, AgreesWithReference) {
  for (const ElementCase& c : kElementCases) {
    for (const Activation activation : kEveryActivation) {
      SCOPED_TRACE(name_of(c) + ", activation " + std::to_string(static_cast<int>(activation)));
      const Rows x = gate_input(c);
      const Rows wanted = gate(reference_backend(), x, activation, 0, c.rows);
      expect_close(gate(backend(), x, activation, 0, c.rows), wanted, [&](int64_t row, int64_t column) {
        return activation_error(activation, x.at(row, column)) * std::abs(x.at(row, c.width + column)) + 2 * kUnit * std::abs(wanted.at(row, column));
      });
    }
  }
}

TEST_P(GateTest, RowsAreIndependentBitForBitAndMayBeReplaced) {
  for (const ElementCase& c : kElementCases) {
    SCOPED_TRACE(name_of(c));
    const Rows x = gate_input(c);
    expect_rows_independent(c.rows, [&](int64_t begin, int64_t end, Order order) { return gate(backend(), x, Activation::kSilu, begin, end, order); });

    const Rows y = gate(backend(), x, Activation::kSilu, 0, c.rows);
    Rows same = x;
    TestScope scope;
    expect_ok(backend().gate(scope, {same.data(), same.stride(), same.data(), same.stride(), c.rows, c.width, Activation::kSilu}), scope);
    for (int64_t row = 0; row < c.rows; ++row) {
      for (int64_t column = 0; column < c.width; ++column) {
        ASSERT_EQ(same.at(row, column), y.at(row, column));
        ASSERT_EQ(same.at(row, c.width + column), x.at(row, c.width + column));  // the up half is only read
      }
    }
    same.expect_gaps_kept();
  }
}

Rows combine(const Backend& backend, const Rows& x, const Rows& before, float factor, bool first) {
  Rows y = before;
  TestScope scope;
  expect_ok(backend.combine(scope, {x.data(), x.stride(), y.data(), y.stride(), x.rows(), x.width(), factor, first}), scope);
  return y;
}

// One product and one addition, each rounded or both together.
TEST_P(CombineTest, AgreesWithReference) {
  for (const ElementCase& c : kElementCases) {
    for (const bool first : {true, false}) {
      for (const float factor : {1.0f, 0.5f, 1.0f / 3, -2.7f, 0.0f}) {
        SCOPED_TRACE(name_of(c) + (first ? ", first, factor " : ", factor ") + std::to_string(factor));
        Random random(static_cast<uint32_t>(c.rows + c.width));
        Rows x(c.rows, c.width, c.gap), before(c.rows, c.width, 2 * c.gap);
        x.fill(random);
        // what lay in y before the first state must not count
        before.each([&](float old) { return first ? old : random.value(); });
        const Rows wanted = combine(reference_backend(), x, before, factor, first);
        expect_close(combine(backend(), x, before, factor, first), wanted, [&](int64_t row, int64_t column) {
          return kUnit * (std::abs(x.at(row, column) * factor) + 2 * std::abs(wanted.at(row, column)));
        });
      }
    }
  }
}

}  // namespace
}  // namespace embedcore::test
