// Shared by the tests of gradients: backends without an operation, and finite differences.
#pragma once

#include <cstring>
#include <string>

#include "op_support.h"

namespace embedcore::test {

// Backends of this library have every operation of training; one that is loaded may lack it and is then skipped by
// name.
inline bool has_training(const Backend& backend) {
  return backend.host_memory || std::strcmp(backend.name, "reference-device") == 0;
}
#define EMBEDCORE_NEEDS(operation)                              \
  if (!backend().operation) {                                   \
    ASSERT_FALSE(has_training(backend())) << backend().name;    \
    GTEST_SKIP() << backend().name << " has no " << #operation; \
  }

// Random factors that make one number of a result: sum of factors * y, whose gradient in y are the factors.
inline double projection(const Rows& factors, const Rows& y) {
  double sum = 0;
  for (int64_t row = 0; row < y.rows(); ++row)
    for (int64_t column = 0; column < y.width(); ++column)
      sum += static_cast<double>(factors.at(row, column)) * static_cast<double>(y.at(row, column));
  return sum;
}
// By how much the rounding of y to float32 can change it.
inline double projection_rounding(const Rows& factors, const Rows& y) {
  return kUnit * projection(factors.magnitudes(), y.magnitudes());
}

// `gradient` against central differences of loss() in each element of `variable`. Their error falls fourfold with half
// the step, so at the smaller step it is a third of what the two differ by; three times that is allowed, for the terms
// of higher order. The rounding of the two losses comes on top, over the distance between them, and that of the
// gradient. What is allowed must be small beside the gradient, or the comparison would prove nothing.
template <typename Loss>
void expect_differences(Rows& variable, const Rows& gradient, double loss_rounding, Loss&& loss, float step = 0x1p-6f) {
  double allowed_squares = 0, squares = 0;
  for (int64_t row = 0; row < variable.rows(); ++row) {
    for (int64_t column = 0; column < variable.width(); ++column) {
      float& element = variable.at(row, column);
      const float middle = element;
      const auto slope = [&](float distance) {
        const float high = middle + distance, low = middle - distance;
        element = high;
        const double above = loss();
        element = low;
        const double below = loss();
        element = middle;
        return (above - below) / (static_cast<double>(high) - static_cast<double>(low));
      };
      const double near = slope(step), far = slope(2 * step), got = gradient.at(row, column);
      const double allowed =
          std::abs(near - far) + loss_rounding / static_cast<double>(step) + 8 * kUnit * std::abs(got);
      ASSERT_NEAR(got, near, allowed) << "row " << row << ", column " << column;
      allowed_squares += allowed * allowed;
      squares += got * got;
    }
  }
  EXPECT_LE(std::sqrt(allowed_squares), 0.01 * std::sqrt(squares)) << "the differences are too coarse";
}

}  // namespace embedcore::test
