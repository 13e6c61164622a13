// ops/activation.h: a warp activates a slice of a row's columns.
#include "ops/activation.h"

#include "activation.cuh"
#include "backend.h"
#include "device.h"
#include "ops/checks.h"
#include "rows.cuh"

namespace embedcore::cuda {
namespace {

template <typename T>
struct ActivationKernel {
  static constexpr int kThreads = 128;
  static constexpr int kMinBlocks = 1;
  static constexpr Arch kArch = Arch::kAny;
  static constexpr int kGroups = 4;

  struct Args {
    const T* x;
    T* y;
    int64_t x_stride, y_stride, rows;
    int width;
    Activation activation;
    bool gated, aligned;
  };

  GPU static void run(const Args& args) {
    wait_for_previous_kernel();
    allow_next_kernel();
    args.aligned ? activate_rows<true>(args) : activate_rows<false>(args);
  }

  template <bool kAligned>
  GPU static void activate_rows(const Args& args) {
    for_slices<kThreads, kGroups>(args.rows, [&](int64_t row, int column) {
      const T* x = args.x + row * args.x_stride;
      float value[kGroups][kColumns], factor[kGroups][kColumns];
      UNROLL
      for (int group = 0; group < kGroups; ++group)
        load_columns<kAligned>(x, column + group * kGroup, args.width, value[group]);
      if (args.gated) {
        UNROLL
        for (int group = 0; group < kGroups; ++group)
          load_columns<kAligned>(x + args.width, column + group * kGroup, args.width, factor[group]);
      }
      T* y = args.y + row * args.y_stride;
      UNROLL
      for (int group = 0; group < kGroups; ++group) {
        activate_all<T>(args.activation, value[group]);
        if (args.gated) {
          UNROLL
          for (int i = 0; i < kColumns; ++i) value[group][i] *= factor[group][i];
        }
        store_columns<kAligned>(y, column + group * kGroup, args.width, value[group]);
      }
    });
  }
};

template <typename T>
Status run(Stream& stream, const ActivationArgs& args) {
  using Kernel = ActivationKernel<T>;
  const bool aligned = args.width % kColumns == 0 && aligned_rows(args.x, args.x_stride, sizeof(T)) &&
                       aligned_rows(args.y, args.y_stride, sizeof(T));
  return launch_on<Kernel>(stream, "activation", slices_of<Kernel::kThreads, Kernel::kGroups>(args.rows, args.width), 0,
                           {.x = static_cast<const T*>(args.x),
                            .y = static_cast<T*>(args.y),
                            .x_stride = args.x_stride,
                            .y_stride = args.y_stride,
                            .rows = args.rows,
                            .width = static_cast<int>(args.width),
                            .activation = args.activation,
                            .gated = args.gated,
                            .aligned = aligned});
}

}  // namespace

Status activation(Stream& stream, const ActivationArgs& args) {
  if (!can_run(stream, args, supports) || !fits(stream, args.width)) return kBadArgument;
  if (args.rows == 0 || args.width == 0) return kOk;
  return with_element(args.dtype, [&](auto element) { return run<decltype(element)>(stream, args); });
}

}  // namespace embedcore::cuda
