#include "linalg/orthogonal_map.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "base/error.h"
#include "linalg/symmetric_eigen.h"
#include "linalg/tasks.h"

namespace embedcore {

namespace {

constexpr int64_t kRowsOfTask = 48;
constexpr int kMostSweeps = 60;  // four or five are usual

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// to [rows, columns] = a^T b, with a [steps, rows] and b [steps, columns].
std::vector<double> product_of(const double* a, const double* b, int64_t rows, int64_t columns, int64_t steps,
                               const Stream& team, const DoubleKernels& kernels) {
  std::vector<double> to(static_cast<size_t>(rows * columns));
  run_tasks(team, divide_up(rows, kRowsOfTask), [&](int64_t task) {
    const int64_t first = task * kRowsOfTask, count = std::min(kRowsOfTask, rows - first);
    kernels.add_products(to.data() + first * columns, columns, a + first, rows, b, columns, count, columns, steps);
  });
  return to;
}

std::vector<double> transposed(const double* matrix, int64_t rows, int64_t columns) {
  std::vector<double> to(static_cast<size_t>(rows * columns));
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) to[static_cast<size_t>(j * rows + i)] = matrix[i * columns + j];
  return to;
}

// Rotates pairs of rows of b [count, width] until all are orthogonal, and the rows of v [count, count] with them.
class Orthogonalizer {
 public:
  Orthogonalizer(double* b, int64_t width, double* v, int64_t count, const DoubleKernels& kernels)
      : b_(b), v_(v), width_(width), count_(count), kernels_(kernels) {}

  void run(const Stream& team, const std::function<void()>& keep_going) {
    // The pairs of a round have no row in common: the rows sit in two lines that face each other, and all but one move
    // on by a place after each round.
    const int64_t places = count_ + count_ % 2;
    std::vector<int64_t> seats(static_cast<size_t>(places));
    for (int sweep = 0; sweep < kMostSweeps; ++sweep) {
      std::iota(seats.begin(), seats.end(), 0);
      std::atomic<bool> rotated{false};
      for (int64_t round = 0; round + 1 < places; ++round) {
        if (round % 16 == 0) keep_going();
        run_tasks(team, divide_up(places / 2, kPairsOfTask), [&](int64_t task) {
          const int64_t last = std::min(places / 2, (task + 1) * kPairsOfTask);
          for (int64_t pair = task * kPairsOfTask; pair < last; ++pair)
            if (rotate(seats[static_cast<size_t>(pair)], seats[static_cast<size_t>(places - 1 - pair)])) rotated = true;
        });
        std::rotate(seats.begin() + 1, seats.end() - 1, seats.end());
      }
      if (!rotated) return;
    }
    fail(Code::kInternal, "the singular vectors are not orthogonal after %d sweeps", kMostSweeps);
  }

 private:
  static constexpr int64_t kPairsOfTask = 8;

  bool rotate(int64_t p, int64_t q) {
    if (p > q) std::swap(p, q);
    if (q >= count_) return false;  // the empty place of an odd number
    double *a = b_ + p * width_, *b = b_ + q * width_;
    const double aa = kernels_.dot(a, a, width_), bb = kernels_.dot(b, b, width_), ab = kernels_.dot(a, b, width_);
    const double tolerance = std::numeric_limits<double>::epsilon() * std::sqrt(static_cast<double>(width_));
    if (aa == 0 || bb == 0 || std::fabs(ab) <= tolerance * std::sqrt(aa) * std::sqrt(bb)) return false;
    const double zeta = (bb - aa) / (2 * ab);
    const double t = std::copysign(1 / (std::fabs(zeta) + std::hypot(zeta, 1.0)), zeta);
    const double c = 1 / std::hypot(t, 1.0), s = c * t;
    kernels_.rotate(a, b, c, s, width_);
    kernels_.rotate(v_ + p * count_, v_ + q * count_, c, s, count_);
    return true;
  }

  double *const b_, *const v_;
  const int64_t width_, count_;
  const DoubleKernels& kernels_;
};

}  // namespace

void orthogonal_map(double* matrix, double* values, int64_t rows, int64_t columns, double least, const Stream& team,
                    const DoubleKernels& kernels, const std::function<void()>& keep_going) {
  double largest = 0;
  for (int64_t i = 0; i < rows * columns; ++i) largest = std::max(largest, std::fabs(matrix[i]));
  if (largest == 0) largest = 1;
  for (int64_t i = 0; i < rows * columns; ++i) matrix[i] /= largest;
  // The shorter side is rotated: of a wide matrix its transpose is decomposed, and R transposed at the end.
  const bool wide = columns > rows;
  const int64_t length = std::max(rows, columns), count = std::min(rows, columns);
  const std::vector<double> tall =
      wide ? transposed(matrix, rows, columns) : std::vector<double>(matrix, matrix + rows * columns);
  std::vector<double> v = product_of(tall.data(), tall.data(), count, count, length, team, kernels);
  std::vector<double> ignored(static_cast<size_t>(count));
  symmetric_eigen(v.data(), ignored.data(), count, team, kernels, keep_going);
  // b = v M^T: its rows are M v_k.
  const std::vector<double> flat = transposed(tall.data(), length, count);
  const std::vector<double> v_columns = transposed(v.data(), count, count);
  std::vector<double> b = product_of(v_columns.data(), flat.data(), count, length, count, team, kernels);
  Orthogonalizer(b.data(), length, v.data(), count, kernels).run(team, keep_going);

  std::vector<double> lengths(static_cast<size_t>(count));
  for (int64_t k = 0; k < count; ++k) {
    const double* row = b.data() + k * length;
    lengths[static_cast<size_t>(k)] = std::sqrt(kernels.dot(row, row, length));
  }
  // R = sum_k u_k v_k^T
  const double bound = least * *std::max_element(lengths.begin(), lengths.end());
  for (int64_t k = 0; k < count; ++k) {
    const double size = lengths[static_cast<size_t>(k)];
    double* row = b.data() + k * length;
    for (int64_t d = 0; d < length; ++d) row[d] = size > bound ? row[d] / size : 0;
  }
  const std::vector<double> found = wide ? product_of(v.data(), b.data(), count, length, count, team, kernels)
                                         : product_of(b.data(), v.data(), length, count, count, team, kernels);
  std::copy(found.begin(), found.end(), matrix);
  std::sort(lengths.begin(), lengths.end(), std::greater<>());
  for (int64_t k = 0; k < count; ++k) values[k] = lengths[static_cast<size_t>(k)] * largest;
}

}  // namespace embedcore
