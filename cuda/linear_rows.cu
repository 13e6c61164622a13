#include "linear_rows.h"

#include <type_traits>

namespace embedcore::cuda {
namespace {

template <typename From>
struct Source {
  const From* x;
  int64_t stride, in;
  bool wide;  // rows begin at multiples of 16 bytes

  // Elements k .. k + kCount of a row, zeros for those that it does not have.
  template <int kCount>
  GPU void load(int64_t row, int64_t k, float (&to)[kCount]) const {
    const From* from = x + row * stride + k;
    if (wide && k + kCount <= in) {
      UNROLL
      for (int i = 0; i < kCount; i += 8 / static_cast<int>(sizeof(From))) {
        const Vector8 words = load8(from + i);
        if constexpr (sizeof(From) == 4) {
          to[i] = __builtin_bit_cast(float, words.word[0]);
          to[i + 1] = __builtin_bit_cast(float, words.word[1]);
        } else {
          unpack2<From>(words.word[0], to[i], to[i + 1]);
          unpack2<From>(words.word[1], to[i + 2], to[i + 3]);
        }
      }
    } else {
      UNROLL
      for (int i = 0; i < kCount; ++i) to[i] = k + i < in ? to_float(from[i]) : 0.0f;
    }
  }
};

// A thread makes 16 bytes; what is behind a row's end becomes zeros.
template <typename From, typename To>
struct ConvertKernel {
  static constexpr int kThreads = 128;
  static constexpr int kMinBlocks = 1;
  static constexpr Arch kArch = Arch::kAny;
  static constexpr int kCount = 16 / sizeof(To);
  struct Args {
    Source<From> from;
    To* to;
    int64_t padded;  // elements of a row of `to`
  };
  GPU static void run(const Args& args) {
    wait_for_previous_kernel();
    allow_next_kernel();
    const int64_t row = block_index();
    const int64_t k = (static_cast<int64_t>(block_index_y()) * kThreads + thread_index()) * kCount;
    if (k >= args.padded) return;
    float value[kCount];
    args.from.load(row, k, value);
    Vector16 words;
    UNROLL
    for (int i = 0; i < 4; ++i) {
      if constexpr (sizeof(To) == 4)
        words.word[i] = __builtin_bit_cast(uint32_t, value[i]);
      else
        words.word[i] = pack2<To>(value[2 * i], value[2 * i + 1]);
    }
    store16(args.to + row * args.padded + k, words);
  }
};

// As row_range of ops/linear.h.
struct Range {
  float step, inverse;
  int32_t zero;
};
GPU Range range_of(float low, float high, bool finite) {
  const float range = high - low;
  if (!finite || !(range <= 3.40282347e38f)) return {__builtin_nanf(""), 0.0f, 0};
  if (range <= 1e-30f) return {0.0f, 0.0f, 0};
  const float inverse = 255.0f / range;
  return {range / 255.0f, inverse, float_to_int_nearest(-low * inverse)};
}

// A block makes one row of unsigned bytes, a thread four at a time.
template <typename From>
struct QuantizeRowsKernel {
  static constexpr int kThreads = 128;
  static constexpr int kMinBlocks = 1;
  static constexpr Arch kArch = Arch::kAny;
  static constexpr int kCount = 4, kWarps = kThreads / 32;
  struct Args {
    Source<From> from;
    const float* reciprocal;  // null = none
    uint8_t* to;
    int64_t padded;  // bytes of a row of `to`
    float* step;
    int32_t* zero;
  };
  static constexpr size_t kSharedBytes = kWarps * 3 * sizeof(float);

  GPU static void load(const Args& args, int64_t k, float (&value)[kCount]) {
    args.from.load(block_index(), k, value);
    if (!args.reciprocal) return;
    const Vector16 factors = load16(args.reciprocal + k);  // zeros at the end
    UNROLL
    for (int i = 0; i < kCount; ++i) value[i] *= __builtin_bit_cast(float, factors.word[i]);
  }

  GPU static void run(const Args& args) {
    wait_for_previous_kernel();
    allow_next_kernel();
    float low = 0.0f, high = 0.0f;
    bool finite = true;
    for (int64_t k = thread_index() * kCount; k < args.from.in; k += kThreads * kCount) {
      float value[kCount];
      load(args, k, value);
      UNROLL
      for (int i = 0; i < kCount; ++i) {
        low = minimum(low, value[i]);
        high = maximum(high, value[i]);
        finite = finite && value[i] - value[i] == 0.0f;
      }
    }
    for (int mask = 16; mask > 0; mask /= 2) {
      low = minimum(low, shuffle_xor(low, mask));
      high = maximum(high, shuffle_xor(high, mask));
    }
    const bool warp_finite = ballot(!finite) == 0;
    float* shared = shared_at<float>(0);
    if (lane_index() == 0) {
      const int warp = thread_index() / 32;
      shared[warp] = low;
      shared[kWarps + warp] = high;
      shared[2 * kWarps + warp] = warp_finite ? 1.0f : 0.0f;
    }
    sync_block();
    finite = true;
    UNROLL
    for (int warp = 0; warp < kWarps; ++warp) {
      low = minimum(low, shared[warp]);
      high = maximum(high, shared[kWarps + warp]);
      finite = finite && shared[2 * kWarps + warp] != 0.0f;
    }
    const Range range = range_of(low, high, finite);
    if (thread_index() == 0) {
      args.step[block_index()] = range.step;
      args.zero[block_index()] = range.zero;
    }
    uint8_t* to = args.to + block_index() * args.padded;
    for (int64_t k = thread_index() * kCount; k < args.padded; k += kThreads * kCount) {
      float value[kCount];
      load(args, k, value);
      uint32_t bytes = 0;
      UNROLL
      for (int i = 0; i < kCount; ++i) {
        int level = float_to_int_nearest(value[i] * range.inverse) + range.zero;
        level = level < 0 ? 0 : level > 255 ? 255 : level;
        bytes |= static_cast<uint32_t>(level) << 8 * i;
      }
      *reinterpret_cast<uint32_t*>(to + k) = bytes;
    }
  }
};

template <typename From>
Source<From> source_of(const LinearArgs& args) {
  const auto* x = static_cast<const From*>(args.x);
  return {.x = x,
          .stride = args.x_stride,
          .in = args.weights->in,
          .wide = reinterpret_cast<uintptr_t>(x) % 16 == 0 && args.x_stride * sizeof(From) % 16 == 0};
}

template <typename From, typename To>
Error convert(StreamHandle stream, const LinearArgs& args, void* to) {
  using Kernel = ConvertKernel<From, To>;
  const int64_t padded = static_cast<const Packed*>(args.weights)->row_bytes / static_cast<int64_t>(sizeof(To));
  const Grid grid{.x = static_cast<uint32_t>(args.rows),
                  .y = static_cast<uint32_t>((padded / Kernel::kCount + Kernel::kThreads - 1) / Kernel::kThreads)};
  return launch<Kernel>(stream, grid, 0, {.from = source_of<From>(args), .to = static_cast<To*>(to), .padded = padded},
                        Order::kMayOverlap);
}

template <typename From>
Error prepare(StreamHandle stream, const LinearArgs& args, void* to, float* step, int32_t* zero) {
  const Packed& packed = *static_cast<const Packed*>(args.weights);
  switch (packed.dtype) {
    case DType::kBF16: return convert<From, bf16>(stream, args, to);
    case DType::kF16: return convert<From, f16>(stream, args, to);
    case DType::kF32: return convert<From, float>(stream, args, to);
    default: break;
  }
  using Kernel = QuantizeRowsKernel<From>;
  return launch<Kernel>(stream, {.x = static_cast<uint32_t>(args.rows)}, Kernel::kSharedBytes,
                        {.from = source_of<From>(args),
                         .reciprocal = packed.reciprocal,
                         .to = static_cast<uint8_t*>(to),
                         .padded = packed.row_bytes,
                         .step = step,
                         .zero = zero},
                        Order::kMayOverlap);
}

}  // namespace

Status prepare_rows(Stream& stream, const LinearArgs& args, PreparedRows& rows, size_t more_bytes, std::byte** more) {
  const Packed& packed = *static_cast<const Packed*>(args.weights);
  const auto element = static_cast<int64_t>(dtype_size(args.x_dtype));
  if (args.x_dtype == packed.dtype && reinterpret_cast<uintptr_t>(args.x) % 16 == 0 &&
      args.x_stride * element % 16 == 0 && args.x_stride * element <= kMostRowBytes) {
    rows = {.x = args.x, .stride = args.x_stride * element, .bytes = packed.in * element};
    if (more_bytes == 0) return kOk;
    *more = static_cast<std::byte*>(scratch(stream, more_bytes));
    return *more ? kOk : kOutOfMemory;
  }
  const auto matrix_bytes = static_cast<size_t>(args.rows * packed.row_bytes);
  const bool bytes = packed.dtype == DType::kI8;
  const size_t own_bytes = matrix_bytes + (bytes ? static_cast<size_t>(args.rows) * 8 : 0);
  const auto more_begin = static_cast<size_t>(round_up_to(static_cast<int64_t>(own_bytes), 256));
  auto* memory = static_cast<std::byte*>(scratch(stream, more_bytes > 0 ? more_begin + more_bytes : own_bytes));
  if (!memory) return kOutOfMemory;
  if (more_bytes > 0) *more = memory + more_begin;
  auto* step = bytes ? reinterpret_cast<float*>(memory + matrix_bytes) : nullptr;
  auto* zero = bytes ? reinterpret_cast<int32_t*>(step + args.rows) : nullptr;
  rows = {.x = memory, .stride = packed.row_bytes, .bytes = packed.row_bytes, .step = step, .zero = zero};
  const StreamHandle handle = stream_of(stream);
  const Error error = args.x_dtype == DType::kBF16  ? prepare<bf16>(handle, args, memory, step, zero)
                      : args.x_dtype == DType::kF16 ? prepare<f16>(handle, args, memory, step, zero)
                                                    : prepare<float>(handle, args, memory, step, zero);
  return error == Error::kOk ? kOk : report(stream, error, "Preparing the rows of linear");
}

}  // namespace embedcore::cuda
