// Weights as linear.cu reads them. One piece of device memory a matrix: the rows of W in the dtype of the arithmetic,
// and what the sums are finished with.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device.h"
#include "ops/linear.h"

namespace embedcore::cuda {

// A row of W, and of the inputs where they are prepared (linear_rows.cuh), takes a multiple of this and ends with
// zeros: the widest step of a tile along `in`. Every tile adds the products of whole rows, so that all tiles add the
// same products.
constexpr int64_t kRowBytes = 128;
// And at most this, so that the rows of a tile are within 32 bits of each other.
constexpr int64_t kMostRowBytes = int64_t{1} << 24;
// Arrays along `out` end with zeros up to a multiple of this, the widest tile, and are read without a look at `out`.
constexpr int64_t kMostTileColumns = 256;

struct Packed : PackedLinear {
  Device* device = nullptr;
  void* memory = nullptr;  // holds all arrays below
  const void* weight;      // [out] rows of row_bytes bytes
  int64_t row_bytes;
  const float* bias;        // [out]
  const float* scale;       // [out], int8 only
  const int32_t* sums;      // [out] sum of a row's q, int8 only
  const float* reciprocal;  // [in] 1 / smoothing, with zeros up to the row's end; null = no smoothing
};

inline int64_t round_up_to(int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }
inline int64_t bytes_of_row(int64_t in, DType dtype) {
  return round_up_to(in * static_cast<int64_t>(dtype_size(dtype)), kRowBytes);
}

}  // namespace embedcore::cuda
