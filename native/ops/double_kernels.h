// The inner loops of dense linear algebra in float64 (native/linalg), a table for each instruction set
// (cpu/double_kernels.cc) and one of plain loops (reference/double_kernels.cc). Every sum has one fixed order within a
// table, so a result does not depend on who computes which part of it.
#pragma once

#include <cstdint>

namespace embedcore {

struct DoubleKernels {
  // sum_i a_i b_i
  double (*dot)(const double* a, const double* b, int64_t count);
  // row -= f u + g w; returns sum_i row_i v_i of the new row.
  double (*update_and_dot)(double* row, double f, const double* u, double g, const double* w, const double* v,
                           int64_t count);
  // c[i * c_stride + j] += sum_r a[r * a_stride + i] b[r * b_stride + j]   for i < rows, j < columns, r < steps
  void (*add_products)(double* c, int64_t c_stride, const double* a, int64_t a_stride, const double* b,
                       int64_t b_stride, int64_t rows, int64_t columns, int64_t steps);
  // For k = count - 1 .. 0, of the rows x_0 .. x_count of kRotatedColumns each, one after the other in memory:
  //   x_k, x_k+1 := c_k x_k - s_k x_k+1, s_k x_k + c_k x_k+1
  void (*rotate_rows)(double* rows, const double* c, const double* s, int64_t count);
  // a, b := c a - s b, s a + c b
  void (*rotate)(double* a, double* b, double c, double s, int64_t count);
};

constexpr int64_t kRotatedColumns = 32;

extern const DoubleKernels kReferenceDoubleKernels;

}  // namespace embedcore
