// Eigenvalues and eigenvectors of a symmetric matrix: A = sum_k values_k v_k v_k^T.
//
// Householder's reflections make A tridiagonal, implicit QL steps make that diagonal (Wilkinson and Reinsch, Handbook
// for Automatic Computation II, 1971). The rotations of many QL steps are kept and applied together, to columns that
// fit a core's cache.
#pragma once

#include <cstdint>
#include <functional>

#include "ops/backend.h"
#include "ops/double_kernels.h"

namespace embedcore {

// matrix: [size, size], of which both halves are read. It is overwritten with the eigenvectors: row k has length 1 and
// belongs to values[k], the greatest first. The component of largest magnitude of each, the first of equal ones, is
// positive. keep_going is called between steps and may throw.
void symmetric_eigen(double* matrix, double* values, int64_t size, const Stream& team, const DoubleKernels& kernels,
                     const std::function<void()>& keep_going);

}  // namespace embedcore
