// ops/embed.h. Embedding: a warp sums a token's rows for a slice of the columns, table after table. Bag: a warp adds
// the rows of a text's tokens in order; it reads several rows ahead, because each must be found by its index first.
#include "ops/embed.h"

#include "backend.h"
#include "device.h"
#include "ops/checks.h"
#include "rows.cuh"

namespace embedcore::cuda {
namespace {

struct EmbedKernel {
  static constexpr int kThreads = 128;
  static constexpr int kMinBlocks = 1;
  static constexpr Arch kArch = Arch::kAny;
  static constexpr int kGroups = 4;

  struct Args {
    EmbedTable tables[kMostEmbedTables] = {};
    int count, width;
    float* y;
    int64_t y_stride, tokens;
    bool aligned;
  };

  GPU static void run(const Args& args) {
    wait_for_previous_kernel();
    allow_next_kernel();
    args.aligned ? embed_tokens<true>(args) : embed_tokens<false>(args);
  }

  template <bool kAligned>
  GPU static void embed_tokens(const Args& args) {
    for_slices<kThreads, kGroups>(args.tokens, [&](int64_t token, int column) {
      float sum[kGroups][kColumns] = {};
      for (int i = 0; i < args.count; ++i) {
        const EmbedTable& table = args.tables[i];
        const int64_t first = (table.ids ? static_cast<int64_t>(load_cached(table.ids + token)) : 0) * args.width;
        const bool only = i == 0;
        switch (table.dtype) {
          case DType::kBF16: add<kAligned, bf16>(table.rows, first, column, args.width, only, sum); break;
          case DType::kF16: add<kAligned, f16>(table.rows, first, column, args.width, only, sum); break;
          default: add<kAligned, float>(table.rows, first, column, args.width, only, sum);
        }
      }
      float* y = args.y + token * args.y_stride;
      UNROLL
      for (int group = 0; group < kGroups; ++group)
        store_columns<kAligned>(y, column + group * kGroup, args.width, sum[group]);
    });
  }

  // sum = the row, or sum += the row
  template <bool kAligned, typename T>
  GPU static void add(const void* rows, int64_t first, int column, int width, bool only,
                      float (&sum)[kGroups][kColumns]) {
    const T* row = static_cast<const T*>(rows) + first;
    float value[kGroups][kColumns];
    UNROLL
    for (int group = 0; group < kGroups; ++group)
      load_columns<kAligned>(row, column + group * kGroup, width, value[group]);
    UNROLL
    for (int group = 0; group < kGroups; ++group) {
      UNROLL
      for (int i = 0; i < kColumns; ++i) sum[group][i] = only ? value[group][i] : sum[group][i] + value[group][i];
    }
  }
};

template <typename T>
struct BagKernel {
  static constexpr int kThreads = 128;
  static constexpr int kMinBlocks = 1;
  static constexpr Arch kArch = Arch::kAny;
  static constexpr int kGroups = 2;
  static constexpr int kAhead = 4;  // tokens whose rows are under way together

  struct Args {
    const int32_t *rows, *ids, *offsets;
    const T* table;
    const float *scales, *weights;
    float* y;
    int64_t y_stride, texts;
    int width;
    bool aligned;
  };

  GPU static void run(const Args& args) {
    wait_for_previous_kernel();
    allow_next_kernel();
    args.aligned ? bag_texts<true>(args) : bag_texts<false>(args);
  }

  template <bool kAligned>
  GPU static void bag_texts(const Args& args) {
    for_slices<kThreads, kGroups>(args.texts, [&](int64_t text, int column) {
      const int64_t begin = args.offsets ? args.offsets[text] : text;
      const int64_t end = args.offsets ? args.offsets[text + 1] : text + 1;
      float sum[kGroups][kColumns] = {};
      for (int64_t token = begin; token < end; token += kAhead) {
        float value[kAhead][kGroups][kColumns], factor[kAhead];
        UNROLL
        for (int ahead = 0; ahead < kAhead; ++ahead) {
          if (token + ahead >= end) continue;
          const int64_t row = args.rows[token + ahead];
          factor[ahead] = args.scales ? args.scales[row] : 1.0f;
          if (args.weights) factor[ahead] *= args.weights[args.ids[token + ahead]];
          UNROLL
          for (int group = 0; group < kGroups; ++group)
            load_columns<kAligned>(args.table + row * args.width, column + group * kGroup, args.width,
                                   value[ahead][group]);
        }
        UNROLL
        for (int ahead = 0; ahead < kAhead; ++ahead) {
          if (token + ahead >= end) continue;
          UNROLL
          for (int group = 0; group < kGroups; ++group) {
            UNROLL
            for (int i = 0; i < kColumns; ++i)
              sum[group][i] = multiply_add(value[ahead][group][i], factor[ahead], sum[group][i]);
          }
        }
      }
      const float count = end > begin ? static_cast<float>(end - begin) : 1.0f;
      float* y = args.y + text * args.y_stride;
      UNROLL
      for (int group = 0; group < kGroups; ++group) {
        UNROLL
        for (int i = 0; i < kColumns; ++i) sum[group][i] /= count;
        store_columns<kAligned>(y, column + group * kGroup, args.width, sum[group]);
      }
    });
  }
};

template <typename T>
Status run_bag(Stream& stream, const BagArgs& args) {
  using Kernel = BagKernel<T>;
  const bool aligned = args.width % kColumns == 0 && aligned_rows(args.table, args.width, sizeof(T)) &&
                       aligned_rows(args.y, args.y_stride, sizeof(float));
  return launch_on<Kernel>(stream, "bag", slices_of<Kernel::kThreads, Kernel::kGroups>(args.texts, args.width), 0,
                           {.rows = args.rows,
                            .ids = args.ids,
                            .offsets = args.offsets,
                            .table = static_cast<const T*>(args.table),
                            .scales = args.scales,
                            .weights = args.weights,
                            .y = args.y,
                            .y_stride = args.y_stride,
                            .texts = args.texts,
                            .width = static_cast<int>(args.width),
                            .aligned = aligned});
}

}  // namespace

Status embed(Stream& stream, const EmbedArgs& args) {
  if (!can_run(stream, args) || !fits(stream, args.width)) return kBadArgument;
  if (args.tokens == 0 || args.width == 0) return kOk;
  EmbedKernel::Args to{.count = args.count,
                       .width = static_cast<int>(args.width),
                       .y = args.y,
                       .y_stride = args.y_stride,
                       .tokens = args.tokens,
                       .aligned = args.width % kColumns == 0 && aligned_rows(args.y, args.y_stride, sizeof(float))};
  for (int32_t i = 0; i < args.count; ++i) {
    const EmbedTable& table = to.tables[i] = args.tables[i];
    to.aligned = to.aligned && aligned_rows(table.rows, args.width, dtype_size(table.dtype));
  }
  const Grid grid = slices_of<EmbedKernel::kThreads, EmbedKernel::kGroups>(args.tokens, args.width);
  return launch_on<EmbedKernel>(stream, "embed", grid, 0, to);
}

Status bag(Stream& stream, const BagArgs& args) {
  if (!can_run(stream, args) || !fits(stream, args.width)) return kBadArgument;
  if (args.texts == 0 || args.width == 0) return kOk;
  if (args.dtype == DType::kI8) return run_bag<int8_t>(stream, args);
  return with_element(args.dtype, [&](auto element) { return run_bag<decltype(element)>(stream, args); });
}

}  // namespace embedcore::cuda
