// The reference's gradients of ops/attention.h against differences of its forward pass.
#include <cmath>
#include <functional>

#include "attention_gradients.h"
#include "op_support.h"

namespace embedcore::test {
namespace {

// sum_td dy[t, d] y[t, d] of a forward pass, and the sum of its terms' magnitudes.
struct Projection {
  double value = 0, size = 0;
};
Projection projection(const Inputs& inputs, const Rows& dy) {
  const Rows y = inputs.run(reference_backend(), DType::kF32, 0, inputs.texts(), Order::kAscending, Lse::kDropped).y;
  Projection sum;
  for (int64_t row = 0; row < y.rows(); ++row)
    for (int64_t d = 0; d < y.width(); ++d) {
      const double term = static_cast<double>(dy.at(row, d)) * static_cast<double>(y.at(row, d));
      sum.value += term;
      sum.size += std::abs(term);
    }
  return sum;
}

// Along a direction u of the inputs, by central differences with the steps h and 2h: D(h) is off by h^2 / 6 times the
// third derivative and more, so the extrapolated (4 D(h) - D(2h)) / 3 is off by less than D(h) is, for which
// |D(2h) - D(h)| is three times an estimate. A value of y is rounded to float32, so the projection is off by u times
// its size at most, and the difference by 1.5 / h of that.
void expect_slope(double slope, double size, const Rows& dy, const std::function<Inputs(double step)>& moved,
                  double h) {
  const auto difference = [&](double step) {
    const Projection above = projection(moved(step), dy), below = projection(moved(-step), dy);
    return std::pair{(above.value - below.value) / (2 * step), above.size};
  };
  const auto [narrow, terms] = difference(h);
  const double wide = difference(2 * h).first;
  const double rounding = 1.5 * kUnit * terms / h + 4 * kUnit * size, curvature = std::abs(wide - narrow);
  EXPECT_NEAR((4 * narrow - wide) / 3, slope, curvature + rounding);
  // Steps that are too large would hide an error of a part.
  EXPECT_LE(curvature, 0.02 * size + 2 * rounding);
}

class AttentionDifferences : public testing::TestWithParam<float> {
 protected:
  // The cases that take less than a second, without the norms, whose gradient is another operation.
  static std::vector<AttentionCase> small_cases() {
    std::vector<AttentionCase> list;
    for (AttentionCase c : attention_cases()) {
      c.norms = HeadNorms::kNone;
      if (cost_of(c) < 3e6) list.push_back(c);
    }
    return list;
  }
};
INSTANTIATE_TEST_SUITE_P(Rates, AttentionDifferences, testing::Values(0.0f, 0.25f),
                         [](const auto& info) { return info.param == 0 ? "NoDropout" : "Dropout"; });

// Values of these sizes, and steps that are powers of two, add without rounding.
void make_exact(Rows& rows, float unit) {
  rows.each([unit](float value) { return std::nearbyint(value / unit) * unit; });
}

// Each head of queries, keys and values by itself, in a random direction.
TEST_P(AttentionDifferences, OfQueriesKeysAndValues) {
  for (const AttentionCase& c : small_cases()) {
    SCOPED_TRACE(name_of(c));
    Inputs inputs(c);
    inputs.dropout_rate = GetParam();
    make_exact(inputs.qkv, 0x1p-10f);
    const Backward backward(inputs, DType::kF32);
    const Rows gradient = backward.dqkv(reference_backend());
    Random random(11);
    for (int64_t head = 0; head < c.heads + 2 * c.kv_heads; ++head) {
      SCOPED_TRACE(testing::Message() << "head " << head << " of queries, keys and values");
      Rows direction(inputs.qkv.rows(), c.head_dim);
      direction.fill(random);
      make_exact(direction, 0x1p-3f);
      double slope = 0, size = 0;
      for (int64_t row = 0; row < direction.rows(); ++row)
        for (int64_t d = 0; d < c.head_dim; ++d) {
          const double term = static_cast<double>(gradient.at(row, head * c.head_dim + d)) * direction.at(row, d);
          slope += term;
          size += std::abs(term);
        }
      const auto moved = [&](double step) {
        Inputs other = inputs;
        for (int64_t row = 0; row < direction.rows(); ++row)
          for (int64_t d = 0; d < c.head_dim; ++d)
            other.qkv.at(row, head * c.head_dim + d) += static_cast<float>(step) * direction.at(row, d);
        return other;
      };
      expect_slope(slope, size, backward.dy, moved, c.size > 1 ? 0x1p-10 : 0x1p-6);
    }
  }
}

TEST_P(AttentionDifferences, OfTheBias) {
  for (const AttentionCase& c : small_cases()) {
    if (!c.bias) continue;
    SCOPED_TRACE(name_of(c));
    Inputs inputs(c);
    inputs.dropout_rate = GetParam();
    make_exact(inputs.bias, 0x1p-10f);
    const Backward backward(inputs, DType::kF32);
    const Rows gradient = backward.dbias(reference_backend());
    Random random(12);
    for (int64_t head = 0; head < c.heads; ++head) {
      SCOPED_TRACE(testing::Message() << "head " << head);
      Rows direction(1, gradient.width());
      direction.fill(random);
      make_exact(direction, 0x1p-3f);
      double slope = 0, size = 0;
      for (int64_t i = 0; i < gradient.width(); ++i) {
        const double term = static_cast<double>(gradient.at(head, i)) * direction.at(0, i);
        slope += term;
        size += std::abs(term);
      }
      const auto moved = [&](double step) {
        Inputs other = inputs;
        for (int64_t i = 0; i < direction.width(); ++i)
          other.bias.at(head, i) += static_cast<float>(step) * direction.at(0, i);
        return other;
      };
      expect_slope(slope, size, backward.dy, moved, 0x1p-6);
    }
  }
}

}  // namespace
}  // namespace embedcore::test
