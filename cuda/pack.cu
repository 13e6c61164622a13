// pack_linear and free_linear: the matrix goes to the device as the file has it, in slices, and becomes rows of the
// arithmetic there. Quantisation follows native/reference/linear.cc operation by operation, so that the levels are the
// same everywhere.
#include <algorithm>
#include <new>
#include <type_traits>
#include <vector>

#include "backend.h"
#include "ops/checks.h"
#include "pack.h"

namespace embedcore::cuda {
namespace {

constexpr int64_t kSliceBytes = int64_t{16} << 20;

// A block makes one row. From: the element of the file; To: of the arithmetic.
template <typename From, typename To>
struct PackKernel {
  static constexpr int kThreads = 256;
  static constexpr int kMinBlocks = 1;
  static constexpr Arch kArch = Arch::kAny;
  struct Args {
    const From* from;  // [rows, in]
    To* to;            // rows of `padded` elements
    int64_t in, padded;
  };
  GPU static void run(const Args& args) {
    const From* from = args.from + block_index() * args.in;
    To* to = args.to + block_index() * args.padded;
    for (int64_t k = thread_index(); k < args.padded; k += kThreads)
      to[k] = from_float<To>(k < args.in ? to_float(from[k]) : 0.0f);
  }
};

template <typename From>
struct QuantizeKernel {
  static constexpr int kThreads = 256;
  static constexpr int kMinBlocks = 1;
  static constexpr Arch kArch = Arch::kAny;
  struct Args {
    const From* from;        // [rows, in]
    const float* smoothing;  // [in] or null
    int8_t* to;              // rows of `padded` bytes
    float* scale;            // [rows]
    int32_t* sums;           // [rows]
    int64_t in, padded;
  };
  static constexpr size_t kSharedBytes = kThreads / 32 * sizeof(float);

  // Every thread gets combine() of all; whole numbers and maxima do not depend on the order.
  template <typename T, typename Combine>
  GPU static T of_block(T value, Combine combine) {
    T* warps = shared_at<T>(0);
    for (int distance = 16; distance > 0; distance /= 2) value = combine(value, shuffle_xor(value, distance));
    sync_block();
    if (lane_index() == 0) warps[thread_index() / 32] = value;
    sync_block();
    value = warps[0];
    for (int warp = 1; warp < kThreads / 32; ++warp) value = combine(value, warps[warp]);
    return value;
  }

  GPU static void run(const Args& args) {
    const From* from = args.from + block_index() * args.in;
    int8_t* to = args.to + block_index() * args.padded;
    const auto smoothed = [&](int64_t k) {
      return args.smoothing ? to_float(from[k]) * args.smoothing[k] : to_float(from[k]);
    };
    float greatest = 0.0f;
    for (int64_t k = thread_index(); k < args.in; k += kThreads) {
      const float value = smoothed(k);
      greatest = maximum(greatest, value < 0.0f ? -value : value);
    }
    greatest = of_block(greatest, [](float a, float b) { return maximum(a, b); });
    const float inverse = greatest > 1e-30f ? 127.0f / greatest : 0.0f;
    int32_t sum = 0;
    for (int64_t k = thread_index(); k < args.padded; k += kThreads) {
      const int level = k < args.in ? float_to_int_nearest(smoothed(k) * inverse) : 0;
      to[k] = static_cast<int8_t>(level);
      sum += level;
    }
    sum = of_block(sum, [](int32_t a, int32_t b) { return a + b; });
    if (thread_index() == 0) {
      args.scale[block_index()] = greatest / 127.0f;
      args.sums[block_index()] = sum;
    }
  }
};

// A stream of the backend for the time of a call.
class LoadStream {
 public:
  explicit LoadStream(Device* device) {
    stream_.device = device;
    status_ = open_stream(stream_);
  }
  ~LoadStream() {
    if (status_ == kOk) close_stream(stream_);
  }
  LoadStream(const LoadStream&) = delete;

  Status status() const { return status_; }
  Stream& stream() { return stream_; }
  Status upload(void* to, const void* from, size_t bytes) { return cuda::upload(stream_, to, from, bytes); }
  Status wait() { return cuda::wait(stream_); }

 private:
  Stream stream_;
  Status status_;
};

// Where the arrays begin in the piece of memory.
struct Places {
  size_t weight = 0, bias = 0, scale = 0, sums = 0, reciprocal = 0, bytes = 0;
};

// False if the sizes pass what can be counted.
bool place(const LinearWeights& w, int64_t row_bytes, Places& at) {
  constexpr size_t kAlign = 256;
  const auto outputs = static_cast<size_t>(round_up_to(w.out, kMostTileColumns));
  size_t rows = 0;
  if (__builtin_mul_overflow(static_cast<size_t>(w.out), static_cast<size_t>(row_bytes), &rows) ||
      rows > SIZE_MAX / 2 || outputs > SIZE_MAX / 64)
    return false;
  size_t end = rows;
  const auto take = [&](size_t bytes) {
    const size_t begin = (end + kAlign - 1) / kAlign * kAlign;
    end = begin + bytes;
    return begin;
  };
  at.bias = take(outputs * sizeof(float));
  if (w.dtype == DType::kI8) {
    at.scale = take(outputs * sizeof(float));
    at.sums = take(outputs * sizeof(int32_t));
    if (w.smoothing) at.reciprocal = take(static_cast<size_t>(row_bytes) * sizeof(float));
  }
  at.bytes = end;
  return true;
}

template <typename Body>
auto with_file_element(DType dtype, Body&& body) {
  if (dtype == DType::kF16) return body(f16{});
  if (dtype == DType::kBF16) return body(bf16{});
  return body(float{});
}

struct Slice {
  const Packed& packed;
  const void* from;        // device memory
  const float* smoothing;  // device memory or null
  int64_t first, rows;
};

template <typename From, typename To>
Error pack_slice(StreamHandle stream, const Slice& slice) {
  const Packed& packed = slice.packed;
  auto* to = static_cast<To*>(const_cast<void*>(packed.weight));
  const Grid grid{.x = static_cast<uint32_t>(slice.rows)};
  const int64_t padded = packed.row_bytes / static_cast<int64_t>(sizeof(To));
  const auto* from = static_cast<const From*>(slice.from);
  if constexpr (std::is_same_v<To, int8_t>) {
    using Kernel = QuantizeKernel<From>;
    return launch<Kernel>(stream, grid, Kernel::kSharedBytes,
                          {.from = from,
                           .smoothing = slice.smoothing,
                           .to = to + slice.first * padded,
                           .scale = const_cast<float*>(packed.scale) + slice.first,
                           .sums = const_cast<int32_t*>(packed.sums) + slice.first,
                           .in = packed.in,
                           .padded = padded});
  } else {
    return launch<PackKernel<From, To>>(
        stream, grid, 0, {.from = from, .to = to + slice.first * padded, .in = packed.in, .padded = padded});
  }
}

Error pack_slice(StreamHandle stream, DType file, const Slice& slice) {
  return with_file_element(file, [&]<typename From>(From) {
    switch (slice.packed.dtype) {
      case DType::kBF16: return pack_slice<From, bf16>(stream, slice);
      case DType::kF16: return pack_slice<From, f16>(stream, slice);
      case DType::kI8: return pack_slice<From, int8_t>(stream, slice);
      default: return pack_slice<From, float>(stream, slice);
    }
  });
}

// `outputs`: the host's copy of the arrays after the rows, which must stay until the caller has waited.
Status fill_packed(LoadStream& load, const LinearWeights& w, const Places& at, const Packed& packed,
                   std::vector<float>& arrays) {
  auto* memory = static_cast<std::byte*>(packed.memory);
  // Everything after the rows but scales and their sums, which begin as zeros.
  arrays.assign((at.bytes - at.bias) / sizeof(float), 0.0f);
  if (w.bias) std::copy_n(w.bias, w.out, arrays.begin());
  if (packed.reciprocal)
    for (int64_t k = 0; k < w.in; ++k)
      arrays[(at.reciprocal - at.bias) / sizeof(float) + static_cast<size_t>(k)] = 1.0f / w.smoothing[k];
  if (const Status status = load.upload(memory + at.bias, arrays.data(), arrays.size() * sizeof(float)); status != kOk)
    return status;

  const auto in_bytes = static_cast<size_t>(w.in) * dtype_size(w.weight_dtype);
  const int64_t slice_rows = std::clamp<int64_t>(kSliceBytes / static_cast<int64_t>(in_bytes), 1, w.out);
  const size_t smoothing_bytes = packed.reciprocal ? static_cast<size_t>(round_up_to(w.in * 4, 256)) : 0;
  auto* room =
      static_cast<std::byte*>(scratch(load.stream(), smoothing_bytes + static_cast<size_t>(slice_rows) * in_bytes));
  if (!room) return kOutOfMemory;
  const float* smoothing = packed.reciprocal ? reinterpret_cast<const float*>(room) : nullptr;
  if (smoothing) {
    const Status status = load.upload(room, w.smoothing, static_cast<size_t>(w.in) * sizeof(float));
    if (status != kOk) return status;
  }
  for (int64_t first = 0; first < w.out; first += slice_rows) {
    const int64_t rows = std::min(slice_rows, w.out - first);
    const auto* from = static_cast<const std::byte*>(w.weight) + static_cast<size_t>(first) * in_bytes;
    const Status status = load.upload(room + smoothing_bytes, from, static_cast<size_t>(rows) * in_bytes);
    if (status != kOk) return status;
    const Error error = pack_slice(
        stream_of(load.stream()), w.weight_dtype,
        {.packed = packed, .from = room + smoothing_bytes, .smoothing = smoothing, .first = first, .rows = rows});
    if (error != Error::kOk) return report(load.stream(), error, "Packing weights");
  }
  return load.wait();
}

}  // namespace

Status pack_linear(Device* device, const LinearWeights& w, PackedLinear** out) {
  if (!can_pack(device, w, supports) || w.in > kMostRowBytes / static_cast<int64_t>(dtype_size(w.dtype)))
    return kBadArgument;
  const int64_t row_bytes = bytes_of_row(w.in, w.dtype);
  Places at;
  if (!place(w, row_bytes, at)) return kOutOfMemory;
  auto* packed = new (std::nothrow) Packed{};
  if (!packed) return kOutOfMemory;
  packed->in = w.in;
  packed->out = w.out;
  packed->bytes = at.bytes;
  packed->dtype = w.dtype;
  packed->device = device;
  packed->row_bytes = row_bytes;
  packed->memory = allocate(device, at.bytes);
  Status status = kOutOfMemory;
  if (packed->memory) {
    auto* memory = static_cast<std::byte*>(packed->memory);
    packed->weight = memory;
    packed->bias = reinterpret_cast<const float*>(memory + at.bias);
    if (at.scale) packed->scale = reinterpret_cast<const float*>(memory + at.scale);
    if (at.sums) packed->sums = reinterpret_cast<const int32_t*>(memory + at.sums);
    if (at.reciprocal) packed->reciprocal = reinterpret_cast<const float*>(memory + at.reciprocal);
    try {
      std::vector<float> arrays;
      LoadStream load(device);
      status = load.status() == kOk ? fill_packed(load, w, at, *packed, arrays) : load.status();
    } catch (const std::bad_alloc&) {
    }
  }
  if (status != kOk) {
    free_linear(packed);
    return status;
  }
  *out = packed;
  return kOk;
}

void free_linear(PackedLinear* base) {
  if (!base) return;
  auto* packed = static_cast<Packed*>(base);
  release(packed->device, packed->memory);
  delete packed;
}

}  // namespace embedcore::cuda
