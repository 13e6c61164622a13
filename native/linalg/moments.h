// Mean and covariance of rows that arrive in batches, in float64.
//   mean = sum_r x_r / n,   C = sum_r (x_r - mean)(x_r - mean)^T / (n - 1)
// or, of pairs of rows, C = sum_r (x_r - mean_x)(y_r - mean_y)^T / (n - 1).
//
// Rows are shifted by the first row, so that the products stay as small as the spread of the rows; the shift is taken
// out at the end. Products are summed over blocks of a fixed number of rows, each element in the order of the rows: the
// result depends neither on the batches nor on the number of threads.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "ops/backend.h"
#include "ops/double_kernels.h"

namespace embedcore {

class Moments {
 public:
  // width_y = 0: covariance of x; else the covariance of x and y.
  Moments(int64_t width_x, int64_t width_y, const DoubleKernels& kernels);

  // x: [rows, width_x], y: [rows, width_y] or null. Throws Error(kNonFinite) with the number of the row.
  void add(const float* x, const float* y, int64_t rows, const Stream& team, const std::function<void()>& keep_going);

  int64_t count() const { return count_; }
  int64_t columns() const { return paired() ? width_y_ : width_x_; }
  // mean_x: [width_x], mean_y: [width_y], covariance: [width_x, columns()]. At least two rows must have come. No rows
  // may be added afterwards.
  void finish(double* mean_x, double* mean_y, double* covariance, const Stream& team);

 private:
  static constexpr int64_t kBlock = 256;

  bool paired() const { return width_y_ > 0; }
  void add_block(const Stream& team);

  const int64_t width_x_, width_y_;
  const DoubleKernels& kernels_;
  int64_t count_ = 0, waiting_ = 0;
  std::vector<double> shift_x_, shift_y_, sum_x_, sum_y_;
  std::vector<double> block_x_, block_y_;  // [kBlock, width], shifted rows
  std::vector<double> products_;           // [width_x, columns()]; of x alone the tiles on and right of the diagonal
};

}  // namespace embedcore
