// ops/linear.h on packed weights (packed.h). A task is a few neighbouring panels times one run of rows.
#include "ops/linear.h"

#include "cpu/backend.h"
#include "cpu/math.h"
#include "cpu/operand.h"
#include "cpu/packed.h"
#include "ops/checks.h"

namespace embedcore::cpu::EMBEDCORE_ISA {
namespace {

constexpr int64_t kDepth = 512;     // in-block, words: 6 rows of it stay in L1, a panel of it in L2
constexpr int64_t kMostPanels = 4;  // of a task
constexpr int64_t kLeastTasks = 8;  // if there are enough panels, so that helpers find work
constexpr int64_t kRowBlock = 240;  // rows that use one panel block while it is in L2

// Each tile prefetches its share of the next weight block. Otherwise the first tile of a block would wait for memory
// while the others leave the memory bus idle. Only within this task, because the block after it may belong to another
// thread.
struct NextBlock {
  const char* from;
  int64_t bytes_per_word;
  void step(int64_t k) const {
    if (!from) return;
    __builtin_prefetch(from + k * bytes_per_word, 0, 2);
    __builtin_prefetch(from + k * bytes_per_word + 64, 0, 2);
  }
};

// sums [kRows, kPanel] (+)= a times the panel's block
template <typename Dot, int kRows, int kVectors>
void run_tile(const Word* a, int64_t a_stride, const Word* b, int64_t words, bool first, Word* sums,
              const NextBlock& next) {
  using Sum = typename Dot::Sum;
  Sum sum[kRows][kVectors];
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v)
      sum[r][v] = first ? Sum{} : reinterpret_cast<Sum>(load_words(sums + r * kPanel + v * kWidth));
  multiply<Dot>(sum, a, a_stride, b, kVectors * kWidth, words, next);
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v) store_words(sums + r * kPanel + v * kWidth, reinterpret_cast<IntVec>(sum[r][v]));
}

// The sums of one vector of columns as floats.
template <bool kInt8>
struct Columns {
  Vec bias, scale;
  IntVec column_sums;
  Columns(const Packed& packed, int64_t column) : bias(load(packed.bias + column)) {
    if constexpr (kInt8) {
      scale = load(packed.scale + column);
      column_sums = load_words(packed.column_sums + column);
    }
  }
  Vec value(const Word* sums, const RowScale* row) const {
    if constexpr (!kInt8)
      return load(reinterpret_cast<const float*>(sums)) + bias;
    else
      return __builtin_convertvector(load_words(sums) - column_sums * row->zero, Vec) * (scale * broadcast(row->step)) +
             bias;
  }
};

// y = activation(sums + bias) + residual for one tile. Not part of the tile's template, because 24 shapes times 7
// activations take minutes to compile.
template <Activation kActivation, typename Element, bool kInt8>
void finish_tile(const LinearArgs& args, const Operand& x, const Panel& panel, int64_t row, int64_t rows,
                 const Word* sums) {
  const Packed& packed = *static_cast<const Packed*>(args.weights);
  for (int64_t v = 0; v < panel.vectors; ++v) {
    const int64_t column = panel.column + v * kWidth, left = packed.out - column;
    const Columns<kInt8> columns(packed, column);
    for (int64_t r = row; r < row + rows; ++r) {
      Vec value =
          activate_for<kActivation, Element>(columns.value(sums + (r - row) * kPanel + v * kWidth, x.scales + r));
      if (args.residual) value += load_upto(args.residual + r * args.residual_stride + column, left);
      store_upto(static_cast<Element*>(args.y) + r * args.y_stride + column, value, left);
    }
  }
}

void finish(const LinearArgs& args, const Operand& x, const Panel& panel, int64_t row, int64_t rows, const Word* sums) {
  with_activation(args.activation, [&]<Activation kActivation>() {
    const bool bytes = args.weights->dtype == DType::kI8;
    if (args.y_dtype == DType::kBF16)
      bytes ? finish_tile<kActivation, uint16_t, true>(args, x, panel, row, rows, sums)
            : finish_tile<kActivation, uint16_t, false>(args, x, panel, row, rows, sums);
    else
      bytes ? finish_tile<kActivation, float, true>(args, x, panel, row, rows, sums)
            : finish_tile<kActivation, float, false>(args, x, panel, row, rows, sums);
  });
}

// Multiplies one block of a panel's weights, words k .. k + step, with all rows. more: the caller continues with the
// next block.
template <typename Dot>
void run_block(const LinearArgs& args, const Operand& x, const Panel& panel, int64_t row_begin, int64_t row_end,
               int64_t k, int64_t step, bool more, Word* sums) {
  const int64_t words = static_cast<const Packed*>(args.weights)->words, width = panel.vectors * kWidth;
  const Word* b = panel.weights + k * width;
  const bool first = k == 0, last = k + step == words;
  int64_t tiles = divide_up(row_end - row_begin, kTileRows);
  NextBlock next{more && tiles > 1 ? reinterpret_cast<const char*>(b + step * width) : nullptr,
                 width * static_cast<int64_t>(sizeof(Word)) / tiles};
  for (int64_t row = row_begin; row < row_end; --tiles) {
    const int64_t rows = divide_up(row_end - row, tiles);  // tiles of nearly equal height
    Word* tile_sums = first && last ? sums : sums + (row - row_begin) * kPanel;
    with_tile(rows, panel.vectors, [&]<int kRows, int kVectors>() {
      run_tile<Dot, kRows, kVectors>(x.words + row * x.stride + k, x.stride, b, step, first, tile_sums, next);
    });
    if (last) finish(args, x, panel, row, rows, tile_sums);
    row += rows;
    if (next.from) next.from += next.bytes_per_word * step;
  }
}

// The size of the blocks does not affect the result, because each block continues the sums of the one before.
template <typename Dot>
void run_panel(const LinearArgs& args, const Operand& x, const Panel& panel, int64_t row_begin, int64_t row_end,
               bool more, Word* sums) {
  const int64_t words = static_cast<const Packed*>(args.weights)->words;
  const int64_t depth = divide_up(words, std::max<int64_t>(1, divide_up(words, kDepth)));
  for (int64_t k = 0; k < words; k += depth)
    run_block<Dot>(args, x, panel, row_begin, row_end, k, std::min(depth, words - k), more || k + depth < words, sums);
}

}  // namespace

Status linear(Stream& stream, const LinearArgs& args) {
  if (!can_run(stream, args, supports)) return kBadArgument;
  const Packed& packed = *static_cast<const Packed*>(args.weights);
  const int64_t panels = divide_up(packed.out, kPanel);
  const int64_t row_blocks = divide_up(args.rows, kRowBlock);
  if (row_blocks == 0) return kOk;
  const int64_t block = divide_up(args.rows, row_blocks);
  Operand x;
  if (!prepare_operand(stream, args, x)) return kOutOfMemory;
  bool out_of_memory = false;
  const int64_t together = std::clamp<int64_t>(panels / kLeastTasks, 1, kMostPanels),
                runs = divide_up(panels, together);
  run_tasks(stream, runs * row_blocks, [&](int64_t task) {
    const int64_t row_begin = task / runs * block;
    const int64_t row_end = std::min(args.rows, row_begin + block);
    auto* sums = static_cast<Word*>(thread_scratch(Scratch::kTask, static_cast<size_t>(block * kPanel) * sizeof(Word)));
    if (!sums) {
      __atomic_store_n(&out_of_memory, true, __ATOMIC_RELAXED);
      return;
    }
    if (row_begin >= row_end) return;
    const int64_t first = task % runs * together, end = std::min(panels, first + together);
    with_dot(packed.dtype, [&]<typename Dot>() {
      for (int64_t panel = first; panel < end; ++panel)
        run_panel<Dot>(args, x, panel_at(packed, panel), row_begin, row_end, panel + 1 < end, sums);
    });
  });
  return out_of_memory ? kOutOfMemory : kOk;
}

}  // namespace embedcore::cpu::EMBEDCORE_ISA
