// ops/norm.h: a row stays in the registers of the threads that share it. Two passes over it, mean and then squared
// deviations, so that a large mean does not cancel the variance. The sums' order depends on the width alone.
#include "ops/norm.h"

#include "backend.h"
#include "device.h"
#include "ops/checks.h"
#include "reduce.cuh"
#include "rows.cuh"

namespace embedcore::cuda {
namespace {

template <int kWarps, int kGroups>
struct NormKernel {
  static constexpr int kThreads = (kWarps == 1 ? 4 : kWarps) * kWarp;
  static constexpr int kMinBlocks = 1;
  static constexpr Arch kArch = Arch::kAny;
  static constexpr int kThreadsARow = kWarps * kWarp, kRows = kThreads / kThreadsARow;
  static constexpr int kSharedBytes = kWarps == 1 ? 0 : 2 * kWarps * static_cast<int>(sizeof(float));

  struct Args {
    const float* x;
    void* y;
    const float *weight, *bias;
    float *mean, *rstd;
    int64_t x_stride, y_stride, rows;
    int width;
    float epsilon;
    DType y_dtype;
    bool centred, aligned;
  };

  GPU static void run(const Args& args) {
    wait_for_previous_kernel();
    allow_next_kernel();
    each_row<kThreads, kThreadsARow>(
        args.rows, [&](int64_t row) { args.aligned ? norm_row<true>(args, row) : norm_row<false>(args, row); });
  }

  template <bool kAligned>
  GPU static void norm_row(const Args& args, int64_t number) {
    const int thread = thread_index() % kThreadsARow, width = args.width;
    SharedRow<kAligned, kThreadsARow, kGroups> row(args.x + number * args.x_stride, width, thread);
    float mean = 0.0f;
    if (args.centred) {
      float sum = 0.0f;
      row.each([&](int, const float(&x)[kColumns]) { sum += (x[0] + x[1]) + (x[2] + x[3]); });
      mean = block_sum<kWarps>(sum, 0) / static_cast<float>(width);
    }
    float squares = 0.0f;
    row.each([&](int column, const float(&x)[kColumns]) {
      UNROLL
      for (int i = 0; i < kColumns; ++i) {
        const float deviation = has_column<kAligned>(column, i, width) ? x[i] - mean : 0.0f;
        squares = multiply_add(deviation, deviation, squares);
      }
    });
    const float variance = block_sum<kWarps>(squares, kWarps * sizeof(float)) / static_cast<float>(width);
    const float scale = 1.0f / exact_sqrt(variance + args.epsilon);
    if (thread == 0) {
      if (args.mean && args.centred) args.mean[number] = mean;
      if (args.rstd) args.rstd[number] = scale;
    }
    switch (args.y_dtype) {
      case DType::kBF16: return write<kAligned, bf16>(args, number, row, mean, scale);
      case DType::kF16: return write<kAligned, f16>(args, number, row, mean, scale);
      default: return write<kAligned, float>(args, number, row, mean, scale);
    }
  }

  template <bool kAligned, typename Y, typename Row>
  GPU static void write(const Args& args, int64_t number, Row& row, float mean, float scale) {
    Y* y = static_cast<Y*>(args.y) + number * args.y_stride;
    row.each([&](int column, const float(&x)[kColumns]) {
      float weight[kColumns] = {1.0f, 1.0f, 1.0f, 1.0f}, bias[kColumns] = {}, value[kColumns];
      if (args.weight) load_columns<kAligned>(args.weight, column, args.width, weight);
      if (args.bias) load_columns<kAligned>(args.bias, column, args.width, bias);
      UNROLL
      for (int i = 0; i < kColumns; ++i) value[i] = multiply_add((x[i] - mean) * scale, weight[i], bias[i]);
      store_columns<kAligned>(y, column, args.width, value);
    });
  }
};

}  // namespace

Status norm(Stream& stream, const NormArgs& args) {
  if (!can_run(stream, args, supports) || !fits(stream, args.width)) return kBadArgument;
  if (args.rows == 0 || args.width == 0) return kOk;
  const bool aligned = args.width % kColumns == 0 && aligned_rows(args.x, args.x_stride, sizeof(float)) &&
                       aligned_rows(args.y, args.y_stride, dtype_size(args.y_dtype)) &&
                       aligned_rows(args.weight, 0, sizeof(float)) && aligned_rows(args.bias, 0, sizeof(float));
  return with_row_shape(args.width, [&]<int kWarps, int kGroups>() {
    using Kernel = NormKernel<kWarps, kGroups>;
    return launch_on<Kernel>(stream, "norm", {.x = blocks_of(args.rows, Kernel::kRows)}, Kernel::kSharedBytes,
                             {.x = args.x,
                              .y = args.y,
                              .weight = args.weight,
                              .bias = args.bias,
                              .mean = args.mean,
                              .rstd = args.rstd,
                              .x_stride = args.x_stride,
                              .y_stride = args.y_stride,
                              .rows = args.rows,
                              .width = static_cast<int>(args.width),
                              .epsilon = args.epsilon,
                              .y_dtype = args.y_dtype,
                              .centred = args.kind == NormKind::kLayer,
                              .aligned = aligned});
  });
}

}  // namespace embedcore::cuda
