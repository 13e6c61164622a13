#include "linear_lora.h"

#include "activation.cuh"
#include "ops/linear.h"
#include "rows.cuh"

namespace embedcore::cuda {
namespace {

// The parts as kernels read them.
struct Parts {
  const float* a[kMostLoraParts];
  const float* b[kMostLoraParts];
  float* middle[kMostLoraParts];  // where it is kept, or null
  float scale[kMostLoraParts];
  int32_t first[kMostLoraParts], count[kMostLoraParts], rank[kMostLoraParts];
  int32_t parts;
};

// Rounds to the dtype that the arithmetic has.
template <typename T>
GPU float rounded_to(float value) {
  return to_float(from_float<T>(value));
}
template <>
GPU float rounded_to<float>(float value) {
  return value;
}

// A warp makes the middles of a row, kRanks of a part at a time. A sum goes over columns lane by lane and then over the
// lanes, so that its order depends on the width alone.
template <typename X, typename T>
struct MiddleKernel {
  static constexpr int kThreads = 128;
  static constexpr int kMinBlocks = 1;
  static constexpr Arch kArch = Arch::kAny;
  static constexpr int kRanks = 8;

  struct Args {
    const X* x;
    int64_t x_stride, rows;
    float* middle;
    int64_t middle_stride;
    int width;
    Parts parts;
  };

  GPU static void run(const Args& args) {
    wait_for_previous_kernel();
    allow_next_kernel();
    each_row<kThreads, kWarp>(args.rows, [&](int64_t row) {
      const X* x = args.x + row * args.x_stride;
      float* to = args.middle + row * args.middle_stride;
      for (int part = 0; part < args.parts.parts; ++part) {
        const int rank = args.parts.rank[part];
        float* kept = args.parts.middle[part] ? args.parts.middle[part] + row * rank : nullptr;
        for (int first = 0; first < rank; first += kRanks) ranks_of_row(args, part, x, first, to, kept);
        to += rank;
      }
    });
  }

  GPU static void ranks_of_row(const Args& args, int part, const X* x, int first, float* to, float* kept) {
    const int rank = args.parts.rank[part], width = args.width;
    const float* a = args.parts.a[part] + static_cast<int64_t>(first) * width;
    float sum[kRanks] = {};
    for (int k = lane_index(); k < width; k += kWarp) {
      const float value = rounded_to<T>(to_float(x[k]));
      UNROLL
      for (int r = 0; r < kRanks; ++r)
        if (first + r < rank)
          sum[r] = multiply_add(value, rounded_to<T>(a[static_cast<int64_t>(r) * width + k]), sum[r]);
    }
    UNROLL
    for (int r = 0; r < kRanks; ++r) {
      for (int mask = kWarp / 2; mask > 0; mask /= 2) sum[r] += shuffle_xor(sum[r], mask);
      if (lane_index() != 0 || first + r >= rank) continue;
      to[first + r] = rounded_to<T>(sum[r]);
      if (kept) kept[first + r] = sum[r];
    }
  }
};

// A thread finishes one column of kRows rows, so that it reads its row of B once.
template <typename Y, typename T>
struct FinishKernel {
  static constexpr int kThreads = 128;
  static constexpr int kMinBlocks = 1;
  static constexpr Arch kArch = Arch::kAny;
  static constexpr int kRows = 8;

  struct Args {
    const float *sums, *middle, *residual;
    Y* y;
    int64_t sums_stride, middle_stride, residual_stride, y_stride, rows;
    int width;
    Activation activation;
    Parts parts;
  };

  GPU static void run(const Args& args) {
    wait_for_previous_kernel();
    allow_next_kernel();
    const int column = static_cast<int>(block_index_y()) * kThreads + thread_index();
    if (column >= args.width) return;
    const int64_t step = static_cast<int64_t>(grid_size()) * kRows;
    for (int64_t row = static_cast<int64_t>(block_index()) * kRows; row < args.rows; row += step)
      finish_rows(args, row, column);
  }

  GPU static void finish_rows(const Args& args, int64_t first_row, int column) {
    const int rows = args.rows - first_row < kRows ? static_cast<int>(args.rows - first_row) : kRows;
    float value[kRows];
    UNROLL
    for (int r = 0; r < kRows; ++r) value[r] = r < rows ? args.sums[(first_row + r) * args.sums_stride + column] : 0.0f;
    const float* middle = args.middle + first_row * args.middle_stride;
    for (int part = 0; part < args.parts.parts; ++part) {
      const int rank = args.parts.rank[part], own = column - args.parts.first[part];
      if (own >= 0 && own < args.parts.count[part]) {
        const float* b = args.parts.b[part] + static_cast<int64_t>(own) * rank;
        for (int j = 0; j < rank; ++j) {
          const float factor = rounded_to<T>(multiply(args.parts.scale[part], b[j]));
          UNROLL
          for (int r = 0; r < kRows; ++r)
            if (r < rows) value[r] = multiply_add(middle[r * args.middle_stride + j], factor, value[r]);
        }
      }
      middle += rank;
    }
    activate_all<Y>(args.activation, value);
    UNROLL
    for (int r = 0; r < kRows; ++r) {
      if (r >= rows) continue;
      if (args.residual) value[r] += args.residual[(first_row + r) * args.residual_stride + column];
      args.y[(first_row + r) * args.y_stride + column] = from_float<Y>(value[r]);
    }
  }
};

Parts parts_of(const LinearArgs& args) {
  Parts parts{};
  parts.parts = args.lora_parts;
  for (int32_t i = 0; i < args.lora_parts; ++i) {
    const LoraPart& part = args.lora[i];
    parts.a[i] = part.a;
    parts.b[i] = part.b;
    parts.middle[i] = part.middle;
    parts.scale[i] = part.scale;
    parts.first[i] = static_cast<int32_t>(part.first);
    parts.count[i] = static_cast<int32_t>(part.count);
    parts.rank[i] = static_cast<int32_t>(part.rank);
  }
  return parts;
}

// int8 weights take parts in float32.
DType dtype_of_parts(const LinearArgs& args) {
  return args.weights->dtype == DType::kI8 ? DType::kF32 : args.weights->dtype;
}

}  // namespace

size_t LoraScratch::place(const LinearArgs& args, std::byte* memory) {
  constexpr int64_t kAligned = 64;  // floats
  size_t used = 0;
  const auto take = [&](int64_t floats) {
    float* at = memory ? reinterpret_cast<float*>(memory + used) : nullptr;
    used += static_cast<size_t>(round_up_to(floats, kAligned)) * sizeof(float);
    return at;
  };
  ranks = 0;
  for (int32_t i = 0; i < args.lora_parts; ++i) ranks += args.lora[i].rank;
  sums_stride = round_up_to(args.weights->out, kColumns);
  sums = take(args.rows * sums_stride);
  middle = take(args.rows * ranks);
  return used;
}

Status launch_lora_middle(Stream& stream, const LinearArgs& args, const LoraScratch& scratch) {
  return with_element(args.x_dtype, [&](auto x) {
    return with_element(dtype_of_parts(args), [&](auto t) {
      using Kernel = MiddleKernel<decltype(x), decltype(t)>;
      const Grid grid{.x = blocks_of(args.rows, Kernel::kThreads / kWarp)};
      return launch_on<Kernel>(stream, "the narrow product of LoRA", grid, 0,
                               {.x = static_cast<const decltype(x)*>(args.x),
                                .x_stride = args.x_stride,
                                .rows = args.rows,
                                .middle = scratch.middle,
                                .middle_stride = scratch.ranks,
                                .width = static_cast<int>(args.weights->in),
                                .parts = parts_of(args)});
    });
  });
}

Status launch_lora_finish(Stream& stream, const LinearArgs& args, const LoraScratch& scratch) {
  return with_element(args.y_dtype, [&](auto y) {
    return with_element(dtype_of_parts(args), [&](auto t) {
      using Kernel = FinishKernel<decltype(y), decltype(t)>;
      const Grid grid{.x = blocks_of(args.rows, Kernel::kRows),
                      .y = static_cast<uint32_t>(divide_up(args.weights->out, Kernel::kThreads))};
      return launch_on<Kernel>(stream, "LoRA", grid, 0,
                               {.sums = scratch.sums,
                                .middle = scratch.middle,
                                .residual = args.residual,
                                .y = static_cast<decltype(y)*>(args.y),
                                .sums_stride = scratch.sums_stride,
                                .middle_stride = scratch.ranks,
                                .residual_stride = args.residual_stride,
                                .y_stride = args.y_stride,
                                .rows = args.rows,
                                .width = static_cast<int>(args.weights->out),
                                .activation = args.activation,
                                .parts = parts_of(args)});
    });
  });
}

}  // namespace embedcore::cuda
