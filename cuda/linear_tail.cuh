// How the sums of a linear become rows of y: int8's factors, bias, activation, residual, rounding. A warp lays its sums
// into shared memory and takes them out by rows, so that one code serves all kernels of linear, and accesses to y and
// residual are wide.
#pragma once

#include <type_traits>

#include "activation.cuh"
#include "base/dtype.h"
#include "launch.h"

namespace embedcore::cuda {

struct Tail {
  void* y;
  const float* residual;  // null = none; may be y
  const float* bias;      // can be read up to the end of the widest tile, as scale and sums
  int64_t y_stride, residual_stride;
  int64_t rows, out;
  Activation activation;
  DType y_dtype;
  bool wide;  // rows of y and residual begin at multiples of 16 bytes
  // int8: of each column, then of each row.
  const float* scale;
  const int32_t* sums;
  const float* step;
  const int32_t* zero;
};

// A warp's part of shared memory: kRows rows of kColumns 32-bit sums. Rows are 8 words longer, so that eight rows of
// four pairs, as the tensor cores leave them, are in different banks.
template <int kRows, int kColumns>
struct Slab {
  static constexpr int kStride = kColumns + 8;
  static constexpr int kBytes = kRows * kStride * 4;
  GPU static uint32_t at(uint32_t slab, int row, int column) {
    return slab + static_cast<uint32_t>(row * kStride + column) * 4;
  }
};

// Y: float, or any type of 16 bits for both of them. Sum: float, or int32_t for int8.
template <typename Y, typename Sum, int kRows, int kColumns>
struct SlabTail {
  static constexpr int kGroup = sizeof(Y) == 4 ? 4 : 8;  // columns of a lane: 16 bytes of y
  static constexpr int kLanes = kColumns / kGroup;       // of a row
  static constexpr int kRowsAtOnce = 32 / kLanes;
  static constexpr int kSteps = kRows / kRowsAtOnce;
  // Steps that are under way together, because the residuals come from memory: 16 values, or 8 in a low slab, whose
  // kernels have fewer registers or many warps.
  static constexpr int kValues = kRows >= 32 ? 16 : 8;
  static constexpr int kTogether = kSteps < kValues / kGroup ? kSteps : kValues / kGroup;
  static_assert(32 % kLanes == 0 && kRows % kRowsAtOnce == 0 && kSteps % kTogether == 0);

  struct Columns {
    float bias[kGroup], scale[kGroup];
    int32_t sums[kGroup];
  };
  struct Row {
    float residual[kGroup];
    float step;
    int32_t zero;
  };

  template <typename T>
  GPU static void load_group(const T* from, T (&to)[kGroup]) {
    UNROLL
    for (int i = 0; i < kGroup; i += 4) {
      const Vector16 words = load16(from + i);
      UNROLL
      for (int j = 0; j < 4; ++j) to[i + j] = __builtin_bit_cast(T, words.word[j]);
    }
  }

  GPU static bool is_whole(const Tail& tail, int64_t column) { return tail.wide && column + kGroup <= tail.out; }

  GPU static void load_row(const Tail& tail, int64_t row, int64_t column, Row& to) {
    if constexpr (!std::is_same_v<Sum, float>) {
      to.step = row < tail.rows ? tail.step[row] : 0.0f;
      to.zero = row < tail.rows ? tail.zero[row] : 0;
    }
    UNROLL
    for (float& value : to.residual) value = 0.0f;
    if (!tail.residual || row >= tail.rows) return;
    const float* from = tail.residual + row * tail.residual_stride + column;
    if (is_whole(tail, column)) {
      load_group(from, to.residual);
    } else {
      UNROLL
      for (int i = 0; i < kGroup; ++i)
        if (column + i < tail.out) to.residual[i] = from[i];
    }
  }

  GPU static void store_row(const Tail& tail, int64_t row, int64_t column, const float* value) {
    if (row >= tail.rows) return;
    Vector16 words;
    UNROLL
    for (int i = 0; i < 4; ++i) {
      if constexpr (sizeof(Y) == 4)
        words.word[i] = __builtin_bit_cast(uint32_t, value[i]);
      else if (tail.y_dtype == DType::kBF16)
        words.word[i] = pack2<bf16>(value[2 * i], value[2 * i + 1]);
      else
        words.word[i] = pack2<f16>(value[2 * i], value[2 * i + 1]);
    }
    if constexpr (sizeof(Y) == 4) {
      uint32_t* to = static_cast<uint32_t*>(tail.y) + row * tail.y_stride + column;
      if (is_whole(tail, column)) return store16(to, words);
      UNROLL
      for (int i = 0; i < kGroup; ++i)
        if (column + i < tail.out) to[i] = words.word[i];
    } else {
      uint16_t* to = static_cast<uint16_t*>(tail.y) + row * tail.y_stride + column;
      if (is_whole(tail, column)) return store16(to, words);
      UNROLL
      for (int i = 0; i < kGroup; ++i)
        if (column + i < tail.out) to[i] = static_cast<uint16_t>(words.word[i / 2] >> 16 * (i % 2));
    }
  }

  // What the activation is taken of.
  GPU static float finished(Sum sum, const Columns& columns, int i, const Row& row) {
    if constexpr (std::is_same_v<Sum, float>)
      return sum + columns.bias[i];
    else
      return multiply_add(static_cast<float>(sum - row.zero * columns.sums[i]), columns.scale[i] * row.step,
                          columns.bias[i]);
  }

  // The first sum of the slab belongs to y[first_row, first_column].
  GPU static void run(const Tail& tail, uint32_t slab, int64_t first_row, int64_t first_column) {
    const int lane_row = lane_index() / kLanes, lane_column = lane_index() % kLanes * kGroup;
    const int64_t column = first_column + lane_column;
    Columns columns;
    load_group(tail.bias + column, columns.bias);
    if constexpr (!std::is_same_v<Sum, float>) {
      load_group(tail.scale + column, columns.scale);
      load_group(tail.sums + column, columns.sums);
    }
    for (int first = lane_row; first < kRows; first += kTogether * kRowsAtOnce) {
      Row rows[kTogether];
      UNROLL
      for (int i = 0; i < kTogether; ++i) load_row(tail, first_row + first + i * kRowsAtOnce, column, rows[i]);
      float values[kTogether * kGroup];
      UNROLL
      for (int i = 0; i < kTogether; ++i) {
        Sum sums[kGroup];
        load_group(shared_at<const Sum>(Slab<kRows, kColumns>::at(slab, first + i * kRowsAtOnce, lane_column)), sums);
        UNROLL
        for (int j = 0; j < kGroup; ++j) values[i * kGroup + j] = finished(sums[j], columns, j, rows[i]);
      }
      activate_all<Y>(tail.activation, values);
      UNROLL
      for (int i = 0; i < kTogether; ++i) {
        UNROLL
        for (int j = 0; j < kGroup; ++j) values[i * kGroup + j] += rows[i].residual[j];
        store_row(tail, first_row + first + i * kRowsAtOnce, column, values + i * kGroup);
      }
    }
  }
};

// The warp has filled its slab; afterwards it may fill it again.
template <typename Sum, int kRows, int kColumns>
GPU void finish_slab(const Tail& tail, uint32_t slab, int64_t first_row, int64_t first_column) {
  sync_warp();
  if (tail.y_dtype == DType::kF32)
    SlabTail<float, Sum, kRows, kColumns>::run(tail, slab, first_row, first_column);
  else
    SlabTail<bf16, Sum, kRows, kColumns>::run(tail, slab, first_row, first_column);
  sync_warp();
}

}  // namespace embedcore::cuda
