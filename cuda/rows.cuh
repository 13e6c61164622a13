// Access to rows of float32, float16, bfloat16 or int8, four columns at a time, as float32. A row that is aligned is
// read and written in single accesses of 16, 8 or 4 bytes, another one element by element. Both give the same values in
// the same registers, so that what is computed of them has the same bits.
//
// kAligned: rows begin at multiples of four elements, and the width is a multiple of four columns.
#pragma once

#include "base/dtype.h"
#include "device.h"

namespace embedcore::cuda {

constexpr int kWarp = 32;
constexpr int kColumns = 4;               // of a lane
constexpr int kGroup = kWarp * kColumns;  // columns that a warp reads with one access of each lane

GPU float float_of(uint32_t bits) { return __builtin_bit_cast(float, bits); }
GPU uint32_t bits_of(float value) { return __builtin_bit_cast(uint32_t, value); }
GPU float to_float(int8_t value) { return static_cast<float>(value); }

template <typename T>
GPU void load_aligned(const T* from, float (&value)[kColumns]) {
  if constexpr (sizeof(T) == 4) {
    const Vector16 words = load16(from);
    UNROLL
    for (int i = 0; i < kColumns; ++i) value[i] = float_of(words.word[i]);
  } else if constexpr (sizeof(T) == 2) {
    const Vector8 words = load8(from);
    unpack2<T>(words.word[0], value[0], value[1]);
    unpack2<T>(words.word[1], value[2], value[3]);
  } else {
    const uint32_t bytes = *reinterpret_cast<const uint32_t*>(from);
    UNROLL
    for (int i = 0; i < kColumns; ++i) value[i] = to_float(static_cast<T>(bytes >> 8 * i & 0xff));
  }
}

template <typename T>
GPU void store_aligned(T* to, const float (&value)[kColumns]) {
  if constexpr (sizeof(T) == 4)
    store16(to, Vector16{{bits_of(value[0]), bits_of(value[1]), bits_of(value[2]), bits_of(value[3])}});
  else
    store8(to, Vector8{{pack2<T>(value[0], value[1]), pack2<T>(value[2], value[3])}});
}

// Whether column + i is one of the row's; `column` itself is.
template <bool kAligned>
GPU bool has_column(int column, int i, int width) {
  return kAligned || column + i < width;
}

// Columns column .. column + 3 of a row, zeros for those that it does not have.
template <bool kAligned, typename T>
GPU void load_columns(const T* row, int column, int width, float (&value)[kColumns]) {
  if constexpr (kAligned) {
    if (column < width) {
      load_aligned(row + column, value);
    } else {
      UNROLL
      for (float& each : value) each = 0.0f;
    }
  } else {
    UNROLL
    for (int i = 0; i < kColumns; ++i) value[i] = column + i < width ? to_float(row[column + i]) : 0.0f;
  }
}

template <bool kAligned, typename T>
GPU void store_columns(T* row, int column, int width, const float (&value)[kColumns]) {
  if constexpr (kAligned) {
    if (column < width) store_aligned(row + column, value);
  } else {
    UNROLL
    for (int i = 0; i < kColumns; ++i)
      if (column + i < width) row[column + i] = from_float<T>(value[i]);
  }
}

// A row of float32 that kThreads threads share, for operations that read it several times: in registers, kGroups groups
// of columns a thread. kGroups = 0: of any width, read from memory each time.
template <bool kAligned, int kThreads, int kGroups>
class SharedRow {
 public:
  GPU SharedRow(const float* row, int width, int thread) : width_(width), first_(thread * kColumns) {
    UNROLL
    for (int group = 0; group < kGroups; ++group) load_columns<kAligned>(row, column(group), width, value_[group]);
  }
  // Calls visit(column, values) for each group of this thread that begins inside the row, in order.
  template <typename Visit>
  GPU void each(Visit visit) {
    UNROLL
    for (int group = 0; group < kGroups; ++group)
      if (column(group) < width_) visit(column(group), value_[group]);
  }

 private:
  GPU int column(int group) const { return first_ + group * kThreads * kColumns; }

  float value_[kGroups][kColumns];
  int width_, first_;
};

template <bool kAligned, int kThreads>
class SharedRow<kAligned, kThreads, 0> {
 public:
  GPU SharedRow(const float* row, int width, int thread) : row_(row), width_(width), first_(thread * kColumns) {}
  template <typename Visit>
  GPU void each(Visit visit) {
    for (int column = first_; column < width_; column += kThreads * kColumns) {
      float value[kColumns];
      load_columns<kAligned>(row_, column, width_, value);
      visit(column, value);
    }
  }

 private:
  const float* row_;
  int width_, first_;
};

// Calls body<kWarps, kGroups>() with the shape of a SharedRow for rows of this width: a warp a row in registers up to
// 1024 columns, then 4 or 8 warps, then 8 warps that read the row from memory.
template <typename Body>
auto with_row_shape(int64_t width, Body&& body) {
  const int64_t groups = (width + kGroup - 1) / kGroup;
  if (groups <= 1) return body.template operator()<1, 1>();
  if (groups <= 2) return body.template operator()<1, 2>();
  if (groups <= 3) return body.template operator()<1, 3>();
  if (groups <= 4) return body.template operator()<1, 4>();
  if (groups <= 6) return body.template operator()<1, 6>();
  if (groups <= 8) return body.template operator()<1, 8>();
  if (groups <= 16) return body.template operator()<4, 4>();
  if (groups <= 32) return body.template operator()<4, 8>();
  if (groups <= 64) return body.template operator()<8, 8>();
  return body.template operator()<8, 0>();
}

// For operations whose threads share a row, in a grid of blocks_of: calls body(row) for each row of this thread's,
// which kThreadsARow threads of a block of kThreads have together. Between two rows of a block of more than one warp a
// row is a barrier, so that the sums of the next do not take the place of these.
template <int kThreads, int kThreadsARow, typename Body>
GPU void each_row(int64_t rows, Body body) {
  constexpr int kRows = kThreads / kThreadsARow;
  const int64_t step = static_cast<int64_t>(grid_size()) * kRows;
  for (int64_t row = static_cast<int64_t>(block_index()) * kRows + thread_index() / kThreadsARow; row < rows;
       row += step) {
    body(row);
    if constexpr (kThreadsARow > kWarp) sync_block();
  }
}

// For operations that go element by element: the grid of slices_of gives each warp of a block of kThreads one row and
// kGroups groups of its columns. Calls body(row, column) with this thread's column of the first group; the others are
// kGroup columns apart.
template <int kThreads, int kGroups, typename Body>
GPU void for_slices(int64_t rows, Body body) {
  constexpr int kRows = kThreads / kWarp;
  const int column = static_cast<int>(block_index_y()) * kGroups * kGroup + lane_index() * kColumns;
  const int64_t step = static_cast<int64_t>(grid_size()) * kRows;
  for (int64_t row = static_cast<int64_t>(block_index()) * kRows + thread_index() / kWarp; row < rows; row += step)
    body(row, column);
}

// --- host ---

inline int64_t divide_up(int64_t value, int64_t by) { return (value + by - 1) / by; }

// Whether each row of `stride` elements begins at a multiple of four elements.
inline bool aligned_rows(const void* rows, int64_t stride, size_t element_bytes) {
  return reinterpret_cast<uintptr_t>(rows) % (kColumns * element_bytes) == 0 && stride % kColumns == 0;
}

// Kernels count columns in an int, and slices of them along y of the grid.
inline bool fits(Stream& stream, int64_t width) {
  constexpr int64_t kMostColumns = 1 << 20;
  if (width <= kMostColumns) return true;
  refuse(stream, "Expected rows of at most 1048576 columns but received more");
  return false;
}

// Blocks along x, of which each goes on in steps of the grid where there are more.
inline uint32_t blocks_of(int64_t rows, int64_t rows_per_block) {
  constexpr int64_t kMost = 0x7fffffff;
  const int64_t blocks = divide_up(rows, rows_per_block);
  return static_cast<uint32_t>(blocks < kMost ? blocks : kMost);
}

template <int kThreads, int kGroups>
Grid slices_of(int64_t rows, int64_t width) {
  return {.x = blocks_of(rows, kThreads / kWarp), .y = static_cast<uint32_t>(divide_up(width, kGroups * kGroup))};
}

// Launches a kernel that begins with wait_for_previous_kernel.
template <typename Kernel>
Status launch_on(Stream& stream, const char* what, Grid grid, size_t shared_bytes, const typename Kernel::Args& args) {
  return report(stream, launch<Kernel>(stream_of(stream), grid, shared_bytes, args, Order::kMayOverlap), what);
}

// Calls body(element) with a value of the type that rows of this dtype have: float32, float16 or bfloat16.
template <typename Body>
auto with_element(DType dtype, Body&& body) {
  switch (dtype) {
    case DType::kBF16: return body(bf16{});
    case DType::kF16: return body(f16{});
    default: return body(float{});
  }
}

}  // namespace embedcore::cuda
