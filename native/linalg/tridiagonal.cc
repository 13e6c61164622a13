#include "linalg/tridiagonal.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "linalg/tasks.h"

namespace embedcore {

namespace {

constexpr int64_t kRowsOfTask = 32;
constexpr int kMostSteps = 60;  // per eigenvalue; two or three are usual
// Rotations that are kept before they are applied, for each row: a strip is then read once for so many steps.
constexpr int64_t kKeptSteps = 48;

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Makes x = (x_0 .. x_count-1) the v of a reflection that maps it to (result, 0 .. 0), and returns its tau. With tau =
// 0 nothing is reflected, because only x_0 is not 0.
double make_reflection(double* x, int64_t count, double* result, const DoubleKernels& kernels) {
  const double rest = count > 1 ? kernels.dot(x + 1, x + 1, count - 1) : 0;
  if (rest == 0) {
    *result = x[0];
    std::fill(x, x + count, 0.0);
    return 0;
  }
  const double length = std::sqrt(x[0] * x[0] + rest);
  *result = x[0] > 0 ? -length : length;
  x[0] -= *result;
  return 2 / (x[0] * x[0] + rest);
}

}  // namespace

// A step must have the row that it reflects from; the update of all others by the step before is made in the same pass
// in which they are multiplied by the new v, so that each step reads and writes the matrix once.
Tridiagonal reduce_to_tridiagonal(double* matrix, int64_t size, const Stream& team, const DoubleKernels& kernels,
                                  const std::function<void()>& keep_going) {
  const auto count = static_cast<size_t>(size);
  Tridiagonal reduced{std::vector<double>(count), std::vector<double>(count), std::vector<double>(count)};
  // Of the step before: A -= v w^T + w v^T. Indexed by the rows of the matrix.
  std::vector<double> v(count), w(count), next(count), product(count);
  for (int64_t k = 0; k < size; ++k) {
    if (k % 16 == 0) keep_going();
    double* row = matrix + k * size;
    const int64_t first = k + 1, rest = size - first;
    kernels.update_and_dot(row + k, v[static_cast<size_t>(k)], w.data() + k, w[static_cast<size_t>(k)], v.data() + k,
                           v.data() + k, size - k);
    reduced.diagonal[static_cast<size_t>(k)] = row[k];
    if (rest == 0) break;
    const double tau = make_reflection(row + first, rest, &reduced.beside[static_cast<size_t>(k)], kernels);
    reduced.tau[static_cast<size_t>(k)] = tau;
    std::copy(row + first, row + size, next.begin() + first);
    run_tasks(team, divide_up(rest, kRowsOfTask), [&](int64_t task) {
      const int64_t last = std::min(size, first + (task + 1) * kRowsOfTask);
      for (int64_t i = first + task * kRowsOfTask; i < last; ++i)
        product[static_cast<size_t>(i)] =
            kernels.update_and_dot(matrix + i * size + first, v[static_cast<size_t>(i)], w.data() + first,
                                   w[static_cast<size_t>(i)], v.data() + first, next.data() + first, rest);
    });
    // w = tau (A v - (tau v^T A v / 2) v)
    const double along = tau * kernels.dot(product.data() + first, next.data() + first, rest) / 2;
    for (auto i = static_cast<size_t>(first); i < count; ++i) w[i] = tau * (product[i] - along * next[i]);
    std::copy(next.begin() + first, next.end(), v.begin() + first);
  }
  return reduced;
}

// Strip by strip, H_0 first: B -= (tau v)(v^T B).
void fill_reflections(const double* matrix, const Tridiagonal& reduced, Strips& strips, const Stream& team,
                      const DoubleKernels& kernels, const std::function<void()>& keep_going) {
  const int64_t size = strips.size, width = kRotatedColumns;
  // In groups, so that an abort does not wait for all strips.
  const int64_t group = 16;
  for (int64_t begin = 0; begin < strips.count; begin += group) {
    keep_going();
    run_tasks(team, std::min(group, strips.count - begin), [&](int64_t task) {
      double* strip = strips.strip(begin + task);
      for (int64_t j = 0; j < width && (begin + task) * width + j < size; ++j)
        strip[((begin + task) * width + j) * width + j] = 1;
      std::vector<double> scaled(static_cast<size_t>(size));
      for (int64_t k = 0; k + 1 < size; ++k) {
        const double tau = reduced.tau[static_cast<size_t>(k)];
        if (tau == 0) continue;
        const double* v = matrix + k * size + k + 1;
        const int64_t rows = size - k - 1;
        double along[kRotatedColumns] = {};
        kernels.add_products(along, width, v, 1, strip + (k + 1) * width, width, 1, width, rows);
        for (int64_t i = 0; i < rows; ++i) scaled[static_cast<size_t>(i)] = -tau * v[i];
        kernels.add_products(strip + (k + 1) * width, width, scaled.data(), rows, along, width, rows, width, 1);
      }
    });
  }
}

namespace {

// The rotations of QL steps, which go up the rows `first .. first + count`.
class KeptRotations {
 public:
  KeptRotations(Strips& strips, const Stream& team, const DoubleKernels& kernels)
      : strips_(strips), team_(team), kernels_(kernels) {}

  // c[k], s[k] of rows k and k + 1, for first <= k < first + count.
  void keep(int64_t first, int64_t count, const double* c, const double* s) {
    steps_.push_back({first, count, cosines_.size()});
    cosines_.insert(cosines_.end(), c + first, c + first + count);
    sines_.insert(sines_.end(), s + first, s + first + count);
  }

  bool full() const { return cosines_.size() >= static_cast<size_t>(kKeptSteps * strips_.size); }

  void apply() {
    run_tasks(team_, strips_.count, [&](int64_t task) {
      double* strip = strips_.strip(task);
      for (const Step& step : steps_)
        kernels_.rotate_rows(strip + step.first * kRotatedColumns, cosines_.data() + step.at, sines_.data() + step.at,
                             step.count);
    });
    steps_.clear();
    cosines_.clear();
    sines_.clear();
  }

 private:
  struct Step {
    int64_t first, count;
    size_t at;
  };
  Strips& strips_;
  const Stream& team_;
  const DoubleKernels& kernels_;
  std::vector<Step> steps_;
  std::vector<double> cosines_, sines_;
};

}  // namespace

void diagonalize(Tridiagonal& reduced, Strips& strips, double* values, const Stream& team, const DoubleKernels& kernels,
                 const std::function<void()>& keep_going) {
  const int64_t size = strips.size;
  std::vector<double>& d = reduced.diagonal;
  std::vector<double>& e = reduced.beside;
  const auto at = [](std::vector<double>& list, int64_t i) -> double& { return list[static_cast<size_t>(i)]; };
  double norm = 0;
  for (int64_t i = 0; i < size; ++i) norm = std::max(norm, std::fabs(at(d, i)) + std::fabs(at(e, i)));
  const double least = std::numeric_limits<double>::epsilon() * norm;
  KeptRotations kept(strips, team, kernels);
  std::vector<double> cosines(static_cast<size_t>(size)), sines(static_cast<size_t>(size));
  for (int64_t low = 0; low < size; ++low) {
    for (int step = 0;; ++step) {
      // The block low .. high that no zero divides. What the reduction has rounded away counts as zero: beside values
      // of that size a smaller bound would never be reached.
      int64_t high = low;
      while (high + 1 < size && std::fabs(at(e, high)) > least) ++high;
      if (high == low) break;
      if (step == kMostSteps)
        fail(Code::kInternal, "the eigenvalues do not converge after %d steps for one of them", kMostSteps);
      // The shift is the eigenvalue of the upper 2 x 2 matrix that is nearer to d_low.
      const double half = (at(d, low + 1) - at(d, low)) / (2 * at(e, low));
      double g = at(d, high) - at(d, low) + at(e, low) / (half + std::copysign(std::hypot(half, 1.0), half));
      double sine = 1, cosine = 1, shift = 0;
      int64_t i = high - 1;
      for (; i >= low; --i) {
        const double f = sine * at(e, i), b = cosine * at(e, i);
        const double length = std::hypot(f, g);
        at(e, i + 1) = length;
        if (length == 0) {
          // The block parts here; the rows above keep their form.
          at(d, i + 1) -= shift;
          at(e, high) = 0;
          break;
        }
        sine = f / length;
        cosine = g / length;
        g = at(d, i + 1) - shift;
        const double change = (at(d, i) - g) * sine + 2 * cosine * b;
        shift = sine * change;
        at(d, i + 1) = g + shift;
        g = cosine * change - b;
        at(cosines, i) = cosine;
        at(sines, i) = sine;
      }
      if (i + 1 < high) kept.keep(i + 1, high - i - 1, cosines.data(), sines.data());
      if (i < low) {
        at(d, low) -= shift;
        at(e, low) = g;
        at(e, high) = 0;
      }
      if (kept.full()) {
        keep_going();
        kept.apply();
      }
    }
  }
  keep_going();
  kept.apply();
  std::copy(d.begin(), d.end(), values);
}

}  // namespace embedcore
