// The orthogonal matrix that maps one set of vectors to another best (Schönemann, 1966): with the singular value
// decomposition M = U S V^T of M = X^T Y, R = U V^T has the greatest trace(R^T M) of all matrices with orthonormal rows
// or columns, and so the least |X R - Y| where R is square or has orthonormal rows.
//
// The singular vectors are found by one-sided Jacobi rotations (Hestenes, 1958), which keep the small ones exact, after
// a multiplication by the eigenvectors of M^T M, which leaves few rotations to make.
#pragma once

#include <cstdint>
#include <functional>

#include "ops/backend.h"
#include "ops/double_kernels.h"

namespace embedcore {

// matrix: M [rows, columns], overwritten with R. values: the min(rows, columns) singular values, the greatest first.
// R leaves out the vectors of singular values that are 0, or at most `least` of the greatest.
void orthogonal_map(double* matrix, double* values, int64_t rows, int64_t columns, double least, const Stream& team,
                    const DoubleKernels& kernels, const std::function<void()>& keep_going);

}  // namespace embedcore
