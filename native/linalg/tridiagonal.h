// The two halves of symmetric_eigen.h.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "ops/backend.h"
#include "ops/double_kernels.h"

namespace embedcore {

// T = Q^T A Q with Q = H_0 H_1 .. H_size-3, H_k = I - tau_k v_k v_k^T.
struct Tridiagonal {
  std::vector<double> diagonal, beside;  // T[i][i], and T[i][i + 1] for i < size - 1
  std::vector<double> tau;               // v_k is in row k of the matrix, from column k + 1 on
};

// Overwrites the matrix: the part right of the diagonal holds the v_k.
Tridiagonal reduce_to_tridiagonal(double* matrix, int64_t size, const Stream& team, const DoubleKernels& kernels,
                                  const std::function<void()>& keep_going);

// Columns of a square matrix, kRotatedColumns at a time: strip s is [size, kRotatedColumns] in one piece, with the
// columns from s * kRotatedColumns on. What it has beyond `size` is 0.
struct Strips {
  explicit Strips(int64_t matrix_size)
      : size(matrix_size),
        count((size + kRotatedColumns - 1) / kRotatedColumns),
        data(static_cast<size_t>(count * size * kRotatedColumns)) {}
  double* strip(int64_t s) { return data.data() + s * size * kRotatedColumns; }
  const int64_t size, count;
  std::vector<double> data;
};

// Q^T
void fill_reflections(const double* matrix, const Tridiagonal& reduced, Strips& strips, const Stream& team,
                      const DoubleKernels& kernels, const std::function<void()>& keep_going);

// Implicit QL steps. values: the eigenvalues, not sorted. The rows of the strips, which come in as Q^T, become the
// eigenvectors of A in the order of the values.
void diagonalize(Tridiagonal& reduced, Strips& strips, double* values, const Stream& team, const DoubleKernels& kernels,
                 const std::function<void()>& keep_going);

}  // namespace embedcore
