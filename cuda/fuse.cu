// ops/fuse.h
#include "ops/fuse.h"

#include "backend.h"
#include "device.h"
#include "ops/checks.h"
#include "rows.cuh"

namespace embedcore::cuda {
namespace {

struct FuseKernel {
  static constexpr int kThreads = 128;
  static constexpr int kMinBlocks = 1;
  static constexpr Arch kArch = Arch::kAny;
  static constexpr int kGroups = 4;

  struct Args {
    const float* x;
    float* y;
    int64_t x_stride, y_stride, rows;
    int width;
    float factor;
    bool first, aligned;
  };

  GPU static void run(const Args& args) {
    wait_for_previous_kernel();
    allow_next_kernel();
    args.aligned ? fuse_rows<true>(args) : fuse_rows<false>(args);
  }

  template <bool kAligned>
  GPU static void fuse_rows(const Args& args) {
    for_slices<kThreads, kGroups>(args.rows, [&](int64_t row, int column) {
      const float* x = args.x + row * args.x_stride;
      float* y = args.y + row * args.y_stride;
      float term[kGroups][kColumns], value[kGroups][kColumns];
      UNROLL
      for (int group = 0; group < kGroups; ++group)
        load_columns<kAligned>(x, column + group * kGroup, args.width, term[group]);
      if (!args.first) {
        UNROLL
        for (int group = 0; group < kGroups; ++group)
          load_columns<kAligned>(y, column + group * kGroup, args.width, value[group]);
      }
      UNROLL
      for (int group = 0; group < kGroups; ++group) {
        UNROLL
        for (int i = 0; i < kColumns; ++i)
          value[group][i] =
              args.first ? term[group][i] * args.factor : multiply_add(term[group][i], args.factor, value[group][i]);
        store_columns<kAligned>(y, column + group * kGroup, args.width, value[group]);
      }
    });
  }
};

}  // namespace

Status fuse(Stream& stream, const FuseArgs& args) {
  if (!can_run(stream, args) || !fits(stream, args.width)) return kBadArgument;
  if (args.rows == 0 || args.width == 0) return kOk;
  const bool aligned = args.width % kColumns == 0 && aligned_rows(args.x, args.x_stride, sizeof(float)) &&
                       aligned_rows(args.y, args.y_stride, sizeof(float));
  return launch_on<FuseKernel>(stream, "fuse",
                               slices_of<FuseKernel::kThreads, FuseKernel::kGroups>(args.rows, args.width), 0,
                               {.x = args.x,
                                .y = args.y,
                                .x_stride = args.x_stride,
                                .y_stride = args.y_stride,
                                .rows = args.rows,
                                .width = static_cast<int>(args.width),
                                .factor = args.factor,
                                .first = args.first,
                                .aligned = aligned});
}

}  // namespace embedcore::cuda
