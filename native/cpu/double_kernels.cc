// The loops of ops/double_kernels.h on vectors of float64, as wide as those of simd.h.
#include "ops/double_kernels.h"

#include "cpu/backend.h"
#include "cpu/simd.h"

namespace embedcore::cpu::EMBEDCORE_ISA {

namespace {

constexpr int kDoubles = kWidth / 2;
typedef double DoubleVec __attribute__((vector_size(kVectorBytes)));
typedef double UnalignedDoubleVec __attribute__((vector_size(kVectorBytes), aligned(1), may_alias));
static_assert(kRotatedColumns % (4 * kDoubles) == 0);

inline DoubleVec load(const double* from) { return *reinterpret_cast<const UnalignedDoubleVec*>(from); }
inline void store(double* to, DoubleVec value) { *reinterpret_cast<UnalignedDoubleVec*>(to) = value; }
inline DoubleVec broadcast(double value) { return DoubleVec{} + value; }

inline double sum_lanes(DoubleVec value) {
  double sum = 0;
  for (int i = 0; i < kDoubles; ++i) sum += value[i];
  return sum;
}

double dot(const double* a, const double* b, int64_t count) {
  DoubleVec sums[4] = {};
  int64_t i = 0;
  for (; i + 4 * kDoubles <= count; i += 4 * kDoubles)
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) sums[v] += load(a + i + v * kDoubles) * load(b + i + v * kDoubles);
  for (; i + kDoubles <= count; i += kDoubles) sums[0] += load(a + i) * load(b + i);
  double sum = sum_lanes((sums[0] + sums[1]) + (sums[2] + sums[3]));
  for (; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

double update_and_dot(double* row, double f, const double* u, double g, const double* w, const double* v,
                      int64_t count) {
  const DoubleVec first = broadcast(f), second = broadcast(g);
  DoubleVec sums[2] = {};
  int64_t i = 0;
  for (; i + 2 * kDoubles <= count; i += 2 * kDoubles)
#pragma GCC unroll 2
    for (int part = 0; part < 2; ++part) {
      const int64_t at = i + part * kDoubles;
      const DoubleVec value = load(row + at) - first * load(u + at) - second * load(w + at);
      store(row + at, value);
      sums[part] += value * load(v + at);
    }
  double sum = sum_lanes(sums[0] + sums[1]);
  for (; i < count; ++i) {
    row[i] = row[i] - f * u[i] - g * w[i];
    sum += row[i] * v[i];
  }
  return sum;
}

template <int kRows, int kVectors>
[[gnu::always_inline]] inline void add_tile(double* c, int64_t c_stride, const double* a, int64_t a_stride,
                                            const double* b, int64_t b_stride, int64_t steps) {
  DoubleVec sum[kRows][kVectors];
#pragma GCC unroll 6
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sum[i][v] = load(c + i * c_stride + v * kDoubles);
  for (int64_t r = 0; r < steps; ++r, a += a_stride, b += b_stride) {
    DoubleVec right[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) right[v] = load(b + v * kDoubles);
#pragma GCC unroll 6
    for (int i = 0; i < kRows; ++i) {
      const DoubleVec left = broadcast(a[i]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[i][v] += left * right[v];
    }
  }
#pragma GCC unroll 6
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) store(c + i * c_stride + v * kDoubles, sum[i][v]);
}

template <int kVectors>
void add_columns(double* c, int64_t c_stride, const double* a, int64_t a_stride, const double* b, int64_t b_stride,
                 int64_t rows, int64_t steps) {
  int64_t i = 0;
  for (; i + kTileRows <= rows; i += kTileRows)
    add_tile<kTileRows, kVectors>(c + i * c_stride, c_stride, a + i, a_stride, b, b_stride, steps);
  for (; i < rows; ++i) add_tile<1, kVectors>(c + i * c_stride, c_stride, a + i, a_stride, b, b_stride, steps);
}

void add_products(double* c, int64_t c_stride, const double* a, int64_t a_stride, const double* b, int64_t b_stride,
                  int64_t rows, int64_t columns, int64_t steps) {
  int64_t j = 0;
  for (; j + kPanelVectors * kDoubles <= columns; j += kPanelVectors * kDoubles)
    add_columns<kPanelVectors>(c + j, c_stride, a, a_stride, b + j, b_stride, rows, steps);
  for (; j + kDoubles <= columns; j += kDoubles)
    add_columns<1>(c + j, c_stride, a, a_stride, b + j, b_stride, rows, steps);
  for (int64_t i = 0; i < rows && j < columns; ++i)
    for (int64_t column = j; column < columns; ++column) {
      double sum = c[i * c_stride + column];
      for (int64_t r = 0; r < steps; ++r) sum += a[r * a_stride + i] * b[r * b_stride + column];
      c[i * c_stride + column] = sum;
    }
}

// The row that one rotation has changed and the next one changes stays in registers.
void rotate_rows(double* rows, const double* c, const double* s, int64_t count) {
  for (int64_t first = 0; first < kRotatedColumns; first += 4 * kDoubles) {
    double* row = rows + first + count * kRotatedColumns;
    DoubleVec upper[4];
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) upper[v] = load(row + v * kDoubles);
    for (int64_t k = count - 1; k >= 0; --k, row -= kRotatedColumns) {
      const DoubleVec cosine = broadcast(c[k]), sine = broadcast(s[k]);
#pragma GCC unroll 4
      for (int v = 0; v < 4; ++v) {
        const DoubleVec lower = load(row - kRotatedColumns + v * kDoubles);
        store(row + v * kDoubles, sine * lower + cosine * upper[v]);
        upper[v] = cosine * lower - sine * upper[v];
      }
    }
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) store(row + v * kDoubles, upper[v]);
  }
}

void rotate(double* a, double* b, double c, double s, int64_t count) {
  const DoubleVec cosine = broadcast(c), sine = broadcast(s);
  int64_t i = 0;
  for (; i + kDoubles <= count; i += kDoubles) {
    const DoubleVec x = load(a + i), y = load(b + i);
    store(a + i, cosine * x - sine * y);
    store(b + i, sine * x + cosine * y);
  }
  for (; i < count; ++i) {
    const double x = a[i], y = b[i];
    a[i] = c * x - s * y;
    b[i] = s * x + c * y;
  }
}

}  // namespace

const DoubleKernels kDoubleKernels = {dot, update_and_dot, add_products, rotate_rows, rotate};

}  // namespace embedcore::cpu::EMBEDCORE_ISA
