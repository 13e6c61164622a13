// ops/pool.h: a warp pools one text for a slice of the columns, its tokens in order, and reads several tokens ahead.
#include "ops/pool.h"

#include "backend.h"
#include "device.h"
#include "ops/checks.h"
#include "rows.cuh"

namespace embedcore::cuda {
namespace {

struct PoolKernel {
  static constexpr int kThreads = 128;
  static constexpr int kMinBlocks = 1;
  static constexpr Arch kArch = Arch::kAny;
  static constexpr int kGroups = 1;
  static constexpr int kAhead = 8;  // tokens that are read before the first of them is added

  struct Args {
    const float* x;
    float* y;
    const int32_t *offsets, *skip;
    int64_t x_stride, y_stride, texts;
    int width;
    Pooling mode;
    bool aligned;
  };

  GPU static void run(const Args& args) {
    wait_for_previous_kernel();
    allow_next_kernel();
    args.aligned ? pool_texts<true>(args) : pool_texts<false>(args);
  }

  template <bool kAligned>
  GPU static void pool_texts(const Args& args) {
    for_slices<kThreads, kGroups>(args.texts, [&](int64_t text, int column) {
      const int64_t start = args.offsets[text], end = args.offsets[text + 1];
      const int64_t skipped = start + (args.skip ? args.skip[text] : 0), begin = skipped < end ? skipped : end;
      float value[kColumns] = {};
      if (begin < end) pool_text<kAligned>(args, start, begin, end, column, value);
      store_columns<kAligned>(args.y + text * args.y_stride, column, args.width, value);
    });
  }

  template <bool kAligned>
  GPU static void pool_text(const Args& args, int64_t start, int64_t begin, int64_t end, int column,
                            float (&value)[kColumns]) {
    const float count = static_cast<float>(end - begin);
    switch (args.mode) {
      case Pooling::kCls: return load_token<kAligned>(args, begin, column, value);
      case Pooling::kLastToken: return load_token<kAligned>(args, end - 1, column, value);
      case Pooling::kMax:
        load_token<kAligned>(args, begin, column, value);
        return each_token<kAligned>(args, begin + 1, end, column, [&](int64_t, const float(&x)[kColumns]) {
          UNROLL
          for (int i = 0; i < kColumns; ++i) value[i] = x[i] > value[i] || x[i] != x[i] ? x[i] : value[i];  // keeps NaN
        });
      case Pooling::kMean:
      case Pooling::kMeanSqrtLen:
        each_token<kAligned>(args, begin, end, column, [&](int64_t, const float(&x)[kColumns]) {
          UNROLL
          for (int i = 0; i < kColumns; ++i) value[i] += x[i];
        });
        return divide(value, args.mode == Pooling::kMean ? count : exact_sqrt(count));
      case Pooling::kWeightedMean: {
        float total = 0.0f;
        each_token<kAligned>(args, begin, end, column, [&](int64_t token, const float(&x)[kColumns]) {
          const float weight = static_cast<float>(token - start + 1);
          total += weight;
          UNROLL
          for (int i = 0; i < kColumns; ++i) value[i] = multiply_add(x[i], weight, value[i]);
        });
        return divide(value, total);
      }
    }
  }

  template <bool kAligned>
  GPU static void load_token(const Args& args, int64_t token, int column, float (&value)[kColumns]) {
    load_columns<kAligned>(args.x + token * args.x_stride, column, args.width, value);
  }

  // Calls visit(token, values) in the order of the text. What is read ahead of its end is its last token again: loads
  // that depend on no condition take fewer registers.
  template <bool kAligned, typename Visit>
  GPU static void each_token(const Args& args, int64_t begin, int64_t end, int column, Visit visit) {
    for (int64_t token = begin; token < end; token += kAhead) {
      float x[kAhead][kColumns];
      UNROLL
      for (int ahead = 0; ahead < kAhead; ++ahead)
        load_token<kAligned>(args, token + ahead < end ? token + ahead : end - 1, column, x[ahead]);
      UNROLL
      for (int ahead = 0; ahead < kAhead; ++ahead)
        if (token + ahead < end) visit(token + ahead, x[ahead]);
    }
  }

  GPU static void divide(float (&value)[kColumns], float divisor) {
    UNROLL
    for (float& each : value) each /= divisor;
  }
};

}  // namespace

Status pool(Stream& stream, const PoolArgs& args) {
  if (!can_run(stream, args) || !fits(stream, args.width)) return kBadArgument;
  if (args.texts == 0 || args.width == 0) return kOk;
  const bool aligned = args.width % kColumns == 0 && aligned_rows(args.x, args.x_stride, sizeof(float)) &&
                       aligned_rows(args.y, args.y_stride, sizeof(float));
  return launch_on<PoolKernel>(stream, "pool",
                               slices_of<PoolKernel::kThreads, PoolKernel::kGroups>(args.texts, args.width), 0,
                               {.x = args.x,
                                .y = args.y,
                                .offsets = args.offsets,
                                .skip = args.skip,
                                .x_stride = args.x_stride,
                                .y_stride = args.y_stride,
                                .texts = args.texts,
                                .width = static_cast<int>(args.width),
                                .mode = args.mode,
                                .aligned = aligned});
}

}  // namespace embedcore::cuda
