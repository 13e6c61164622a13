#include "linalg/moments.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "linalg/tasks.h"

namespace embedcore {

namespace {

// Elements of the covariance that are one task.
constexpr int64_t kTileRows = 48, kTileColumns = 128;

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Returns whether all values are finite.
bool shift_row(const float* row, const std::vector<double>& shift, double* to, std::vector<double>& sum) {
  bool finite = true;
  for (size_t d = 0; d < shift.size(); ++d) {
    finite = finite && std::isfinite(row[d]);
    to[d] = row[d] - shift[d];
    sum[d] += to[d];
  }
  return finite;
}

}  // namespace

Moments::Moments(int64_t width_x, int64_t width_y, const DoubleKernels& kernels)
    : width_x_(width_x),
      width_y_(width_y),
      kernels_(kernels),
      sum_x_(static_cast<size_t>(width_x)),
      sum_y_(static_cast<size_t>(width_y)),
      block_x_(static_cast<size_t>(kBlock * width_x)),
      block_y_(static_cast<size_t>(kBlock * width_y)),
      products_(static_cast<size_t>(width_x * columns())) {}

void Moments::add(const float* x, const float* y, int64_t rows, const Stream& team,
                  const std::function<void()>& keep_going) {
  for (int64_t row = 0; row < rows; ++row) {
    if (count_ == 0) {
      shift_x_.assign(x, x + width_x_);
      if (paired()) shift_y_.assign(y, y + width_y_);
    }
    bool finite = shift_row(x + row * width_x_, shift_x_, block_x_.data() + waiting_ * width_x_, sum_x_);
    if (paired())
      finite = shift_row(y + row * width_y_, shift_y_, block_y_.data() + waiting_ * width_y_, sum_y_) && finite;
    if (!finite)
      fail(Code::kNonFinite, "expected finite numbers in vector %lld but found others", static_cast<long long>(count_));
    ++count_;
    if (++waiting_ < kBlock) continue;
    add_block(team);
    keep_going();
  }
}

void Moments::add_block(const Stream& team) {
  const int64_t width = columns(), across = divide_up(width, kTileColumns);
  const double* right = paired() ? block_y_.data() : block_x_.data();
  run_tasks(team, divide_up(width_x_, kTileRows) * across, [&](int64_t task) {
    const int64_t i = task / across * kTileRows, j = task % across * kTileColumns;
    // Of a symmetric result, tiles that are wholly left of the diagonal are not computed.
    if (!paired() && j + kTileColumns <= i) return;
    kernels_.add_products(products_.data() + i * width + j, width, block_x_.data() + i, width_x_, right + j, width,
                          std::min(kTileRows, width_x_ - i), std::min(kTileColumns, width - j), waiting_);
  });
  waiting_ = 0;
}

void Moments::finish(double* mean_x, double* mean_y, double* covariance, const Stream& team) {
  if (count_ < 2) fail(Code::kInternal, "expected two rows or more but received %lld", static_cast<long long>(count_));
  if (waiting_ > 0) add_block(team);
  const int64_t width = columns();
  const auto rows = static_cast<double>(count_);
  const std::vector<double>& other = paired() ? sum_y_ : sum_x_;
  for (int64_t i = 0; i < width_x_; ++i) {
    const double share = sum_x_[static_cast<size_t>(i)] / rows;
    mean_x[i] = shift_x_[static_cast<size_t>(i)] + share;
    for (int64_t j = paired() ? 0 : i; j < width; ++j)
      covariance[i * width + j] =
          (products_[static_cast<size_t>(i * width + j)] - share * other[static_cast<size_t>(j)]) / (rows - 1);
  }
  for (int64_t j = 0; j < width_y_; ++j)
    mean_y[j] = shift_y_[static_cast<size_t>(j)] + sum_y_[static_cast<size_t>(j)] / rows;
  if (paired()) return;
  for (int64_t i = 0; i < width; ++i)
    for (int64_t j = 0; j < i; ++j) covariance[i * width + j] = covariance[j * width + i];
}

}  // namespace embedcore
