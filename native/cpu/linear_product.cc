// A task is a few neighbouring panels times one run of rows.
#include "cpu/linear_product.h"

namespace embedcore::cpu::EMBEDCORE_ISA {
namespace {

constexpr int64_t kDepth = 512;     // in-block, words: 6 rows of it stay in L1, a panel of it in L2
constexpr int64_t kMostPanels = 4;  // of a task
constexpr int64_t kLeastTasks = 8;  // if there are enough panels, so that helpers find work

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

template <typename Dot, int kRows, int kVectors>
[[gnu::always_inline]] inline void run_tile(const Word* a, int64_t a_stride, const Word* b, int64_t words, bool first,
                                            Word* sums, const NextBlock& next) {
  using Sum = typename Dot::Sum;
  Sum sum[kRows][kVectors];
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v)
      sum[r][v] = first ? Sum{} : reinterpret_cast<Sum>(load_words(sums + r * kPanel + v * kWidth));
  multiply<Dot>(sum, a, a_stride, b, kVectors * kWidth, words, next);
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v) store_words(sums + r * kPanel + v * kWidth, reinterpret_cast<IntVec>(sum[r][v]));
}

// Inlined where the main loops are: a call for each tile costs 5 % of a shallow product.
template <typename Dot>
[[gnu::always_inline]] inline void any_tile(int64_t rows, int64_t vectors, const Word* a, int64_t a_stride,
                                            const Word* b, int64_t words, bool first, Word* sums,
                                            const NextBlock& next) {
  with_tile(
      rows, vectors, [&]<int kRows, int kVectors>() __attribute__((always_inline)) {
        run_tile<Dot, kRows, kVectors>(a, a_stride, b, words, first, sums, next);
      });
}

// Multiplies one block of a panel, words k .. k + step, with rows row_begin .. row_end. more: the caller continues with
// the next block.
template <typename Dot>
void run_block(const Product& product, const Panel& panel, int64_t row_begin, int64_t row_end, int64_t k, int64_t step,
               bool more, Word* sums) {
  const Operand& x = product.x;
  const int64_t width = panel.vectors * kWidth;
  const Word* b = panel.weights + k * width;
  const bool first = k == 0, last = k + step == product.matrix.words;
  int64_t tiles = divide_up(row_end - row_begin, kTileRows);
  NextBlock next{more && tiles > 1 ? reinterpret_cast<const char*>(b + step * width) : nullptr,
                 width * static_cast<int64_t>(sizeof(Word)) / tiles};
  for (int64_t row = row_begin; row < row_end; --tiles) {
    const int64_t rows = divide_up(row_end - row, tiles);  // tiles of nearly equal height
    Word* tile_sums = first && last ? sums : sums + (row - row_begin) * kPanel;
    any_tile<Dot>(rows, panel.vectors, x.words + row * x.stride + k, x.stride, b, step, first, tile_sums, next);
    if (last) product.take(product.taker, panel, row, rows, tile_sums);
    row += rows;
    if (next.from) next.from += next.bytes_per_word * step;
  }
}

// The size of the blocks does not affect the result, because each block continues the sums of the one before.
template <typename Dot>
void run_panel(const Product& product, const Panel& panel, int64_t row_begin, int64_t row_end, bool more, Word* sums) {
  const int64_t words = product.matrix.words;
  const int64_t depth = divide_up(words, std::max<int64_t>(1, divide_up(words, kDepth)));
  for (int64_t k = 0; k < words; k += depth)
    run_block<Dot>(product, panel, row_begin, row_end, k, std::min(depth, words - k), more || k + depth < words, sums);
}

}  // namespace

void multiply_tile(DType dtype, int64_t rows, int64_t vectors, const Word* a, int64_t a_stride, const Word* b,
                   int64_t words, bool first, Word* sums) {
  if (dtype == DType::kBF16)
    any_tile<Bfloat16Dot>(rows, vectors, a, a_stride, b, words, first, sums, {});
  else
    any_tile<FloatDot>(rows, vectors, a, a_stride, b, words, first, sums, {});
}

bool run_product(Stream& stream, const Product& product) {
  const Panels& matrix = product.matrix;
  const int64_t panels = divide_up(matrix.columns, kPanel);
  const int64_t row_blocks = divide_up(product.rows, product.row_block);
  if (row_blocks == 0) return true;
  const int64_t block = divide_up(product.rows, row_blocks);
  bool out_of_memory = false;
  const int64_t together = std::clamp<int64_t>(panels / kLeastTasks, 1, kMostPanels),
                runs = divide_up(panels, together);
  run_tasks(stream, runs * row_blocks, [&](int64_t task) {
    const int64_t row_begin = task / runs * block;
    const int64_t row_end = std::min(product.rows, row_begin + block);
    auto* sums = static_cast<Word*>(thread_scratch(Scratch::kTask, static_cast<size_t>(block * kPanel) * sizeof(Word)));
    if (!sums) {
      __atomic_store_n(&out_of_memory, true, __ATOMIC_RELAXED);
      return;
    }
    if (row_begin >= row_end) return;
    const int64_t first = task % runs * together, end = std::min(panels, first + together);
    with_dot(product.dtype, [&]<typename Dot>() {
      for (int64_t panel = first; panel < end; ++panel)
        run_panel<Dot>(product, panel_at(matrix, panel), row_begin, row_end, panel + 1 < end, sums);
    });
  });
  return !out_of_memory;
}

}  // namespace embedcore::cpu::EMBEDCORE_ISA
