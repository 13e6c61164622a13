// Moments, eigenvectors and orthogonal maps against what defines them, on every instruction set.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "base/error.h"
#include "cpu/dispatch.h"
#include "linalg/moments.h"
#include "linalg/orthogonal_map.h"
#include "linalg/symmetric_eigen.h"

namespace embedcore {
namespace {

using Matrix = std::vector<double>;

const Stream kAlone;
const std::function<void()> kGoOn = [] {};

Matrix random_matrix(int64_t rows, int64_t columns, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  Matrix matrix(static_cast<size_t>(rows * columns));
  for (double& value : matrix) value = normal(random);
  return matrix;
}

double at(const Matrix& matrix, int64_t columns, int64_t i, int64_t j) {
  return matrix[static_cast<size_t>(i * columns + j)];
}

template <typename Test>
void on_each(const Test& test) {
  test(kReferenceDoubleKernels);
  int tried = 0;
  for (const CpuIsa& isa : cpu_isas()) {
    if (!isa.doubles) continue;
    SCOPED_TRACE(isa.name);
    test(*isa.doubles);
    ++tried;
  }
  EXPECT_GT(tried, 0);
}

// All rounding of these algorithms is a few times size * 2^-53 of the largest value.
double bound(int64_t size, double scale) { return 8 * static_cast<double>(size) * 0x1p-53 * scale; }

TEST(DoubleKernels, ProductsOfAllShapes) {
  on_each([](const DoubleKernels& kernels) {
    for (const int64_t rows : {1, 5, 6, 13})
      for (const int64_t columns : {1, 7, 32, 75})
        for (const int64_t steps : {1, 9}) {
          const Matrix a = random_matrix(steps, rows, 1), b = random_matrix(steps, columns, 2);
          Matrix found = random_matrix(rows, columns, 3), expected = found;
          kernels.add_products(found.data(), columns, a.data(), rows, b.data(), columns, rows, columns, steps);
          kReferenceDoubleKernels.add_products(expected.data(), columns, a.data(), rows, b.data(), columns, rows,
                                               columns, steps);
          for (size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], bound(steps, 16));
        }
  });
}

TEST(DoubleKernels, RotationsAndUpdates) {
  on_each([](const DoubleKernels& kernels) {
    const int64_t count = 9;
    Matrix rows = random_matrix(count + 1, kRotatedColumns, 4), expected = rows;
    Matrix c(9), s(9);
    for (size_t k = 0; k < 9; ++k) c[k] = std::cos(0.3 + k), s[k] = std::sin(0.3 + k);
    kernels.rotate_rows(rows.data(), c.data(), s.data(), count);
    kReferenceDoubleKernels.rotate_rows(expected.data(), c.data(), s.data(), count);
    for (size_t i = 0; i < rows.size(); ++i) EXPECT_NEAR(rows[i], expected[i], bound(count, 8));
    for (const int64_t width : {1, 8, 31, 66}) {
      Matrix row = random_matrix(4, width, 5), same = row;
      const auto part = [width](Matrix& of, int64_t i) { return of.data() + i * width; };
      const double found = kernels.update_and_dot(row.data(), 0.5, part(row, 1), -2, part(row, 2), part(row, 3), width);
      const double wanted = kReferenceDoubleKernels.update_and_dot(same.data(), 0.5, part(same, 1), -2, part(same, 2),
                                                                   part(same, 3), width);
      EXPECT_NEAR(found, wanted, bound(width, 64));
      EXPECT_NEAR(kernels.dot(row.data(), part(row, 1), width),
                  kReferenceDoubleKernels.dot(same.data(), part(same, 1), width), bound(width, 64));
      kernels.rotate(part(row, 0), part(row, 1), 0.6, 0.8, width);
      kReferenceDoubleKernels.rotate(part(same, 0), part(same, 1), 0.6, 0.8, width);
      for (size_t i = 0; i < row.size(); ++i) EXPECT_NEAR(row[i], same[i], bound(width, 16));
    }
  });
}

// A V = V diag(values), V^T V = 1, values fall, signs as stated.
void expect_eigen(const Matrix& original, const Matrix& vectors, const Matrix& values, double scale) {
  const auto size = static_cast<int64_t>(values.size());
  for (int64_t k = 0; k < size; ++k) {
    if (k > 0) {
      EXPECT_GE(values[static_cast<size_t>(k - 1)], values[static_cast<size_t>(k)]);
    }
    double largest = 0;
    for (int64_t i = 0; i < size; ++i) {
      double product = 0;
      for (int64_t j = 0; j < size; ++j) product += at(original, size, i, j) * at(vectors, size, k, j);
      EXPECT_NEAR(product, values[static_cast<size_t>(k)] * at(vectors, size, k, i), bound(size, scale));
      if (std::fabs(at(vectors, size, k, i)) > std::fabs(largest)) largest = at(vectors, size, k, i);
    }
    EXPECT_GT(largest, 0);
    for (int64_t other = 0; other <= k; ++other) {
      double product = 0;
      for (int64_t j = 0; j < size; ++j) product += at(vectors, size, k, j) * at(vectors, size, other, j);
      EXPECT_NEAR(product, other == k ? 1 : 0, bound(size, 1));
    }
  }
}

TEST(SymmetricEigen, RandomMatrices) {
  on_each([](const DoubleKernels& kernels) {
    for (const int64_t size : {1, 2, 3, 17, 40, 65}) {
      SCOPED_TRACE(size);
      Matrix matrix = random_matrix(size, size, 6);
      for (int64_t i = 0; i < size; ++i)
        for (int64_t j = 0; j < i; ++j) matrix[static_cast<size_t>(i * size + j)] = at(matrix, size, j, i);
      Matrix vectors = matrix, values(static_cast<size_t>(size));
      symmetric_eigen(vectors.data(), values.data(), size, kAlone, kernels, kGoOn);
      expect_eigen(matrix, vectors, values, 2 * std::sqrt(static_cast<double>(size)) + 2);
    }
  });
}

TEST(SymmetricEigen, MatricesWithEqualAndZeroValues) {
  const int64_t size = 24;
  const Matrix zeros(static_cast<size_t>(size * size));
  Matrix ones = zeros, rank_two = zeros, blocks = zeros;
  const Matrix a = random_matrix(2, size, 7);
  for (int64_t i = 0; i < size; ++i) {
    ones[static_cast<size_t>(i * size + i)] = 3;
    for (int64_t j = 0; j < size; ++j) {
      rank_two[static_cast<size_t>(i * size + j)] =
          at(a, size, 0, i) * at(a, size, 0, j) + at(a, size, 1, i) * at(a, size, 1, j);
      if (i / 4 == j / 4) blocks[static_cast<size_t>(i * size + j)] = 1;
    }
  }
  // Numbers whose squares are outside of float64.
  Matrix tiny = rank_two, huge = rank_two;
  for (double& value : tiny) value *= 1e-200;
  for (double& value : huge) value *= 1e200;
  for (const Matrix& matrix : {zeros, ones, rank_two, blocks}) {
    Matrix vectors = matrix, values(static_cast<size_t>(size));
    symmetric_eigen(vectors.data(), values.data(), size, kAlone, kReferenceDoubleKernels, kGoOn);
    expect_eigen(matrix, vectors, values, 60);
  }
  Matrix values(static_cast<size_t>(size)), small = values, large = values, vectors = rank_two;
  symmetric_eigen(vectors.data(), values.data(), size, kAlone, kReferenceDoubleKernels, kGoOn);
  symmetric_eigen(tiny.data(), small.data(), size, kAlone, kReferenceDoubleKernels, kGoOn);
  symmetric_eigen(huge.data(), large.data(), size, kAlone, kReferenceDoubleKernels, kGoOn);
  for (size_t k = 0; k < 2; ++k) {
    EXPECT_NEAR(small[k] * 1e200 / values[k], 1, bound(size, 1));
    EXPECT_NEAR(large[k] * 1e-200 / values[k], 1, bound(size, 1));
  }
}

TEST(SymmetricEigen, EndsWhenAsked) {
  Matrix matrix = random_matrix(64, 64, 8), values(64);
  int calls = 0;
  EXPECT_THROW(symmetric_eigen(matrix.data(), values.data(), 64, kAlone, kReferenceDoubleKernels,
                               [&] {
                                 if (++calls == 3) fail(Code::kAborted, "the call was aborted");
                               }),
               Error);
}

TEST(OrthogonalMap, IsThePolarFactor) {
  on_each([](const DoubleKernels& kernels) {
    for (const auto& [rows, columns] : std::vector<std::pair<int64_t, int64_t>>{{9, 9}, {20, 7}, {7, 20}, {1, 5}}) {
      SCOPED_TRACE(std::to_string(rows) + " x " + std::to_string(columns));
      const int64_t count = std::min(rows, columns);
      const Matrix matrix = random_matrix(rows, columns, 9);
      Matrix map = matrix, values(static_cast<size_t>(count));
      orthogonal_map(map.data(), values.data(), rows, columns, 0, kAlone, kernels, kGoOn);
      // Of the shorter side R R^T or R^T R is 1, and M R^T or R^T M is symmetric with the singular values as its trace.
      double trace = 0;
      for (int64_t i = 0; i < count; ++i)
        for (int64_t j = 0; j <= i; ++j) {
          double own = 0, left = 0, right = 0;
          for (int64_t d = 0; d < std::max(rows, columns); ++d) {
            const auto of = [&, wide = columns > rows](const Matrix& m, int64_t k) {
              return wide ? at(m, columns, k, d) : at(m, columns, d, k);
            };
            own += of(map, i) * of(map, j);
            left += of(matrix, i) * of(map, j);
            right += of(matrix, j) * of(map, i);
          }
          EXPECT_NEAR(own, i == j ? 1 : 0, bound(count, 4));
          EXPECT_NEAR(left, right, bound(count, 64));
          if (i == j) trace += left;
        }
      double sum = 0;
      for (size_t k = 0; k < values.size(); ++k) {
        if (k > 0) {
          EXPECT_GE(values[k - 1], values[k]);
        }
        sum += values[k];
      }
      EXPECT_NEAR(trace, sum, bound(count * count, 16));
    }
  });
}

TEST(OrthogonalMap, SmallSingularValuesStayExact) {
  // M = A diag(1, 1e-6, 1e-12) B^T with orthogonal A, B: M^T M alone would lose the last one.
  const int64_t size = 3;
  Matrix a = random_matrix(size, size, 10), b = random_matrix(size, size, 11), ignored(3);
  orthogonal_map(a.data(), ignored.data(), size, size, 0, kAlone, kReferenceDoubleKernels, kGoOn);
  orthogonal_map(b.data(), ignored.data(), size, size, 0, kAlone, kReferenceDoubleKernels, kGoOn);
  const double scale[] = {1, 1e-6, 1e-12};
  Matrix matrix(9), expected(9), values(3);
  for (int64_t i = 0; i < size; ++i)
    for (int64_t j = 0; j < size; ++j)
      for (int64_t k = 0; k < size; ++k) {
        matrix[static_cast<size_t>(i * size + j)] += at(a, size, i, k) * scale[k] * at(b, size, j, k);
        expected[static_cast<size_t>(i * size + j)] += at(a, size, i, k) * at(b, size, j, k);
      }
  orthogonal_map(matrix.data(), values.data(), size, size, 0, kAlone, kReferenceDoubleKernels, kGoOn);
  // Elements of M are rounded by 1e-16, which is 1e-4 of the smallest value.
  for (size_t k = 0; k < 3; ++k) EXPECT_NEAR(values[k] / scale[k], 1, 1e-3);
  for (size_t i = 0; i < 9; ++i) EXPECT_NEAR(matrix[i], expected[i], 1e-3);
}

struct Result {
  Matrix mean_x, mean_y, covariance;
};

Result moments_of(const std::vector<float>& x, const std::vector<float>& y, int64_t width_x, int64_t width_y,
                  int64_t batch, const DoubleKernels& kernels) {
  Moments moments(width_x, width_y, kernels);
  const auto rows = static_cast<int64_t>(x.size()) / width_x;
  for (int64_t first = 0; first < rows; first += batch)
    moments.add(x.data() + first * width_x, width_y > 0 ? y.data() + first * width_y : nullptr,
                std::min(batch, rows - first), kAlone, kGoOn);
  EXPECT_EQ(moments.count(), rows);
  Result result{Matrix(static_cast<size_t>(width_x)), Matrix(static_cast<size_t>(width_y)),
                Matrix(static_cast<size_t>(width_x * moments.columns()))};
  moments.finish(result.mean_x.data(), result.mean_y.data(), result.covariance.data(), kAlone);
  return result;
}

std::vector<float> random_rows(int64_t rows, int64_t width, float mean, unsigned seed) {
  std::vector<float> values(static_cast<size_t>(rows * width));
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(mean, 1);
  for (float& value : values) value = normal(random);
  return values;
}

// By two passes.
void expect_moments(const Result& found, const std::vector<float>& x, const std::vector<float>& y, int64_t width_x,
                    int64_t width_y, double tolerance) {
  const auto rows = static_cast<int64_t>(x.size()) / width_x;
  const auto mean_of = [rows](const std::vector<float>& values, int64_t width, int64_t d) {
    double sum = 0;
    for (int64_t r = 0; r < rows; ++r) sum += values[static_cast<size_t>(r * width + d)];
    return sum / static_cast<double>(rows);
  };
  for (int64_t i = 0; i < width_x; ++i) {
    const double mean_i = mean_of(x, width_x, i);
    EXPECT_NEAR(found.mean_x[static_cast<size_t>(i)], mean_i, tolerance);
    for (int64_t j = 0; j < width_y; ++j) {
      const double mean_j = mean_of(y, width_y, j);
      double sum = 0;
      for (int64_t r = 0; r < rows; ++r)
        sum += (x[static_cast<size_t>(r * width_x + i)] - mean_i) * (y[static_cast<size_t>(r * width_y + j)] - mean_j);
      EXPECT_NEAR(at(found.covariance, width_y, i, j), sum / static_cast<double>(rows - 1), tolerance);
    }
  }
}

TEST(Moments, OfRowsAndOfPairs) {
  on_each([](const DoubleKernels& kernels) {
    const int64_t rows = 600, width_x = 150, width_y = 37;
    const std::vector<float> x = random_rows(rows, width_x, 0, 12), y = random_rows(rows, width_y, 2, 13);
    // Sums of 600 numbers about 1.
    const Result alone = moments_of(x, y, width_x, 0, 100, kernels),
                 both = moments_of(x, y, width_x, width_y, 100, kernels);
    expect_moments(alone, x, x, width_x, width_x, 1e-12);
    expect_moments(both, x, y, width_x, width_y, 1e-12);
    for (int64_t i = 0; i < width_x; ++i)
      for (int64_t j = 0; j < i; ++j)
        EXPECT_EQ(at(alone.covariance, width_x, i, j), at(alone.covariance, width_x, j, i));
  });
}

TEST(Moments, DoNotDependOnTheBatches) {
  on_each([](const DoubleKernels& kernels) {
    const std::vector<float> x = random_rows(523, 20, 1, 14);
    const Result expected = moments_of(x, {}, 20, 0, 523, kernels);
    for (const int64_t batch : {1, 7, 256, 300}) {
      const Result found = moments_of(x, {}, 20, 0, batch, kernels);
      EXPECT_EQ(found.mean_x, expected.mean_x);
      EXPECT_EQ(found.covariance, expected.covariance);
    }
  });
}

TEST(Moments, KeepTheDigitsOfASmallSpread) {
  // A mean of 1000 times the spread: sums of squares without a shift would lose 6 digits more.
  const std::vector<float> x = random_rows(400, 5, 1000, 15);
  expect_moments(moments_of(x, {}, 5, 0, 64, kReferenceDoubleKernels), x, x, 5, 5, 1e-12);
}

TEST(Moments, NameTheRowThatIsNotFinite) {
  std::vector<float> x = random_rows(300, 4, 0, 16);
  x[280 * 4 + 3] = INFINITY;
  try {
    moments_of(x, {}, 4, 0, 50, kReferenceDoubleKernels);
    FAIL() << "an infinity was taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.code, Code::kNonFinite);
    EXPECT_NE(std::string(error.what()).find("vector 280"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace embedcore
