// Normalize and quantize of ops/vectors.h.
#include "ops/vectors.h"

#include "backend.h"
#include "device.h"
#include "ops/checks.h"
#include "reduce.cuh"
#include "rows.cuh"

namespace embedcore::cuda {
namespace {

template <int kWarps, int kGroups>
struct NormalizeKernel {
  static constexpr int kThreads = (kWarps == 1 ? 4 : kWarps) * kWarp;
  static constexpr int kMinBlocks = 1;
  static constexpr Arch kArch = Arch::kAny;
  static constexpr int kThreadsARow = kWarps * kWarp, kRows = kThreads / kThreadsARow;
  static constexpr int kSharedBytes = kWarps == 1 ? 0 : kWarps * static_cast<int>(sizeof(float));

  struct Args {
    float* x;
    int64_t stride, rows;
    int width;
    bool aligned;
  };

  GPU static void run(const Args& args) {
    wait_for_previous_kernel();
    allow_next_kernel();
    each_row<kThreads, kThreadsARow>(args.rows, [&](int64_t row) {
      args.aligned ? normalize_row<true>(args, row) : normalize_row<false>(args, row);
    });
  }

  template <bool kAligned>
  GPU static void normalize_row(const Args& args, int64_t number) {
    float* to = args.x + number * args.stride;
    SharedRow<kAligned, kThreadsARow, kGroups> row(to, args.width, thread_index() % kThreadsARow);
    float squares = 0.0f;
    row.each([&](int, const float(&x)[kColumns]) {
      UNROLL
      for (int i = 0; i < kColumns; ++i) squares = multiply_add(x[i], x[i], squares);
    });
    const float root = exact_sqrt(block_sum<kWarps>(squares, 0));
    const float length = root < 1e-12f ? 1e-12f : root;  // a NaN stays one
    row.each([&](int column, const float(&x)[kColumns]) {
      float value[kColumns];
      UNROLL
      for (int i = 0; i < kColumns; ++i) value[i] = x[i] / length;
      store_columns<kAligned>(to, column, args.width, value);
    });
  }
};

// Bytes of levels, four columns a lane. Each operation is rounded to float32 as the contract's formula has it.
struct LevelKernel {
  static constexpr int kThreads = 128;
  static constexpr int kMinBlocks = 1;
  static constexpr Arch kArch = Arch::kAny;
  static constexpr int kGroups = 1;

  struct Args {
    const float *x, *minimum, *maximum;
    uint8_t* y;
    int64_t rows;
    int width;
    uint32_t flip;  // 0x80 for signed levels: level - 128
    bool aligned;
  };

  GPU static void run(const Args& args) {
    wait_for_previous_kernel();
    allow_next_kernel();
    args.aligned ? quantize_rows<true>(args) : quantize_rows<false>(args);
  }

  template <bool kAligned>
  GPU static void quantize_rows(const Args& args) {
    for_slices<kThreads, kGroups>(args.rows, [&](int64_t row, int column) {
      if (column >= args.width) return;
      float x[kColumns], minimum[kColumns], maximum[kColumns];
      load_columns<kAligned>(args.x + row * args.width, column, args.width, x);
      load_columns<kAligned>(args.minimum, column, args.width, minimum);
      load_columns<kAligned>(args.maximum, column, args.width, maximum);
      uint32_t levels[kColumns];
      UNROLL
      for (int i = 0; i < kColumns; ++i) levels[i] = level(x[i], minimum[i], maximum[i]) ^ args.flip;
      uint8_t* y = args.y + row * args.width + column;
      if constexpr (kAligned) {
        *reinterpret_cast<uint32_t*>(y) = levels[0] | levels[1] << 8 | levels[2] << 16 | levels[3] << 24;
      } else {
        UNROLL
        for (int i = 0; i < kColumns; ++i)
          if (column + i < args.width) y[i] = static_cast<uint8_t>(levels[i]);
      }
    });
  }

  GPU static uint32_t level(float x, float minimum, float maximum) {
    const float range = (maximum - minimum) / 255.0f;
    const float steps = (x - minimum) / (range == 0.0f ? 1.0f : range);
    if (!(steps >= 1.0f)) return 0;  // also for NaN
    return steps < 255.0f ? static_cast<uint32_t>(steps) : 255;
  }
};

// Bits x > 0, a byte a lane.
struct BitKernel {
  static constexpr int kThreads = 128;
  static constexpr int kMinBlocks = 1;
  static constexpr Arch kArch = Arch::kAny;

  struct Args {
    const float* x;
    uint8_t* y;
    int64_t rows;
    int width, bytes;
    uint32_t flip;  // as above
    bool aligned;
  };

  GPU static void run(const Args& args) {
    wait_for_previous_kernel();
    allow_next_kernel();
    args.aligned ? quantize_rows<true>(args) : quantize_rows<false>(args);
  }

  template <bool kAligned>
  GPU static void quantize_rows(const Args& args) {
    constexpr int kRows = kThreads / kWarp;
    const int byte = static_cast<int>(block_index_y()) * kWarp + lane_index();
    if (byte >= args.bytes) return;
    const int64_t step = static_cast<int64_t>(grid_size()) * kRows;
    for (int64_t row = static_cast<int64_t>(block_index()) * kRows + thread_index() / kWarp; row < args.rows;
         row += step) {
      uint32_t bits = 0;
      UNROLL
      for (int half = 0; half < 2; ++half) {
        float x[kColumns];
        load_columns<kAligned>(args.x + row * args.width, byte * 8 + half * kColumns, args.width, x);
        UNROLL
        for (int i = 0; i < kColumns; ++i) bits = bits << 1 | (x[i] > 0.0f ? 1u : 0u);
      }
      args.y[row * args.bytes + byte] = static_cast<uint8_t>(bits ^ args.flip);
    }
  }
};

}  // namespace

Status normalize(Stream& stream, const NormalizeArgs& args) {
  if (!can_run(stream, args) || !fits(stream, args.width)) return kBadArgument;
  if (args.rows == 0 || args.width == 0) return kOk;
  const bool aligned = args.width % kColumns == 0 && aligned_rows(args.x, args.stride, sizeof(float));
  return with_row_shape(args.width, [&]<int kWarps, int kGroups>() {
    using Kernel = NormalizeKernel<kWarps, kGroups>;
    return launch_on<Kernel>(stream, "normalize", {.x = blocks_of(args.rows, Kernel::kRows)}, Kernel::kSharedBytes,
                             {.x = args.x,
                              .stride = args.stride,
                              .rows = args.rows,
                              .width = static_cast<int>(args.width),
                              .aligned = aligned});
  });
}

Status quantize(Stream& stream, const QuantizeArgs& args) {
  if (!can_run(stream, args) || !fits(stream, args.width)) return kBadArgument;
  if (args.rows == 0 || args.width == 0) return kOk;
  const bool is_signed = args.precision == Precision::kInt8 || args.precision == Precision::kBinary;
  const bool aligned = aligned_rows(args.x, args.width, sizeof(float));
  const uint32_t flip = is_signed ? 0x80 : 0;
  if (args.precision == Precision::kBinary || args.precision == Precision::kUbinary) {
    const int64_t bytes = divide_up(args.width, 8);
    const Grid grid{.x = blocks_of(args.rows, BitKernel::kThreads / kWarp),
                    .y = static_cast<uint32_t>(divide_up(bytes, kWarp))};
    return launch_on<BitKernel>(stream, "quantize", grid, 0,
                                {.x = args.x,
                                 .y = args.y,
                                 .rows = args.rows,
                                 .width = static_cast<int>(args.width),
                                 .bytes = static_cast<int>(bytes),
                                 .flip = flip,
                                 .aligned = aligned});
  }
  const Grid grid = slices_of<LevelKernel::kThreads, LevelKernel::kGroups>(args.rows, args.width);
  return launch_on<LevelKernel>(
      stream, "quantize", grid, 0,
      {.x = args.x,
       .minimum = args.minimum,
       .maximum = args.maximum,
       .y = args.y,
       .rows = args.rows,
       .width = static_cast<int>(args.width),
       .flip = flip,
       .aligned = aligned && aligned_rows(args.minimum, 0, sizeof(float)) &&
                  aligned_rows(args.maximum, 0, sizeof(float)) && aligned_rows(args.y, args.width, 1)});
}

}  // namespace embedcore::cuda
