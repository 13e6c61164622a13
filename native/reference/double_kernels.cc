#include "ops/double_kernels.h"

namespace embedcore {

namespace {

double dot(const double* a, const double* b, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

double update_and_dot(double* row, double f, const double* u, double g, const double* w, const double* v,
                      int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    row[i] -= f * u[i] + g * w[i];
    sum += row[i] * v[i];
  }
  return sum;
}

void add_products(double* c, int64_t c_stride, const double* a, int64_t a_stride, const double* b, int64_t b_stride,
                  int64_t rows, int64_t columns, int64_t steps) {
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j)
      for (int64_t r = 0; r < steps; ++r) c[i * c_stride + j] += a[r * a_stride + i] * b[r * b_stride + j];
}

void rotate(double* a, double* b, double c, double s, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    const double x = a[i], y = b[i];
    a[i] = c * x - s * y;
    b[i] = s * x + c * y;
  }
}

void rotate_rows(double* rows, const double* c, const double* s, int64_t count) {
  for (int64_t k = count - 1; k >= 0; --k)
    rotate(rows + k * kRotatedColumns, rows + (k + 1) * kRotatedColumns, c[k], s[k], kRotatedColumns);
}

}  // namespace

const DoubleKernels kReferenceDoubleKernels = {dot, update_and_dot, add_products, rotate_rows, rotate};

}  // namespace embedcore
