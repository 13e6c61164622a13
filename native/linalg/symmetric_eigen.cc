#include "linalg/symmetric_eigen.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "linalg/tasks.h"
#include "linalg/tridiagonal.h"

namespace embedcore {

void symmetric_eigen(double* matrix, double* values, int64_t size, const Stream& team, const DoubleKernels& kernels,
                     const std::function<void()>& keep_going) {
  // Scaled to a largest element of 1, so that no square is too large or too small.
  double largest = 0;
  for (int64_t i = 0; i < size * size; ++i) largest = std::max(largest, std::fabs(matrix[i]));
  if (largest == 0) largest = 1;
  for (int64_t i = 0; i < size * size; ++i) matrix[i] /= largest;
  keep_going();
  Tridiagonal reduced = reduce_to_tridiagonal(matrix, size, team, kernels, keep_going);
  Strips strips(size);
  fill_reflections(matrix, reduced, strips, team, kernels, keep_going);
  std::vector<double> found(static_cast<size_t>(size));
  diagonalize(reduced, strips, found.data(), team, kernels, keep_going);

  std::vector<int64_t> order(static_cast<size_t>(size));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return found[static_cast<size_t>(a)] > found[static_cast<size_t>(b)]; });
  run_tasks(team, size, [&](int64_t k) {
    const int64_t from = order[static_cast<size_t>(k)];
    values[k] = found[static_cast<size_t>(from)] * largest;
    double* row = matrix + k * size;
    for (int64_t s = 0; s < strips.count; ++s) {
      const double* part = strips.strip(s) + from * kRotatedColumns;
      std::copy(part, part + std::min(kRotatedColumns, size - s * kRotatedColumns), row + s * kRotatedColumns);
    }
    const double* peak =
        std::max_element(row, row + size, [](double a, double b) { return std::fabs(a) < std::fabs(b); });
    if (*peak < 0)
      for (int64_t d = 0; d < size; ++d) row[d] = -row[d];
  });
}

}  // namespace embedcore
