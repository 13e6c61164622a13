// Similarity of ops/vectors.h. A task is a block of rows of a times a few panels of rows of b. Dot, cosine and
// Euclidean go through the register tile: the task transposes one panel of b into its scratch memory and multiplies all
// its rows of a with it. Manhattan distance is not a matrix product, so its tile subtracts pairs.
#include <algorithm>
#include <cmath>

#include "cpu/backend.h"
#include "cpu/lengths.h"
#include "cpu/packed.h"
#include "ops/checks.h"
#include "ops/vectors.h"

namespace embedcore::cpu::EMBEDCORE_ISA {
namespace {

constexpr int64_t kDepth = 512;     // words of a panel that stay in L2
constexpr int64_t kRowBlock = 240;  // rows of a that use one panel
constexpr int64_t kLeastRows = 24;
constexpr int64_t kLeastTasks = 32;   // if there are enough panels
constexpr int64_t kPackingRows = 16;  // packing a panel takes about as long as multiplying it with this number of rows
constexpr int64_t kTaskOperations = int64_t{kWidth} << 22;  // about a millisecond
constexpr int64_t kRowsPerTask = 64;                        // of a pass over rows

// How a product is cut into tasks.
struct Cut {
  int64_t row_block, row_blocks;  // rows of a
  int64_t panels, panel_block, panel_blocks;

  explicit Cut(const SimilarityArgs& args) {
    const int64_t width = std::max<int64_t>(args.width, 1);
    const int64_t most = std::clamp<int64_t>(kTaskOperations / (2 * width * kPanel), kLeastRows, kRowBlock);
    row_blocks = divide_up(args.rows_a, most);
    row_block = divide_up(args.rows_a, row_blocks);
    panels = divide_up(args.rows_b, kPanel);
    const int64_t affordable = kTaskOperations / (2 * width * kPanel * (row_block + kPackingRows));
    const int64_t shared = panels * row_blocks / kLeastTasks;
    panel_block = std::clamp<int64_t>(std::min(affordable, shared), 1, panels);
    panel_blocks = divide_up(panels, panel_block);
  }
};

// The rows of one task.
struct Part {
  int64_t row_begin, row_end;        // of a
  int64_t column_begin, column_end;  // rows of b
};

int64_t stride_of(const SimilarityArgs& args) { return args.y_stride == 0 ? args.rows_b : args.y_stride; }

// Turns the products of rows row .. row + rows and the panel's columns into similarities.
class Finish {
 public:
  // sizes [rows_a + rows_b]: lengths (cosine) or squares (Euclidean).
  Finish(const SimilarityArgs& args, const float* sizes) : args_(args), a_(sizes), b_(sizes + args.rows_a) {}

  void operator()(const Panel& panel, int64_t row, int64_t rows, const Word* sums) const {
    switch (args_.kind) {
      case Similarity::kCosine:
        return each(panel, row, rows, sums, [&](int64_t i, int64_t j, int64_t left, Vec sum) {
          return sum / broadcast(a_[i]) / load_upto_ones(b_ + j, left);
        });
      case Similarity::kEuclidean: return euclidean(panel, row, rows, sums);
      default: return each(panel, row, rows, sums, [](int64_t, int64_t, int64_t, Vec sum) { return sum; });
    }
  }

 private:
  static Vec load_upto_ones(const float* from, int64_t n) {
    return n >= kWidth ? load(from) : load_part(from, n, 1.0f);
  }

  template <typename Value>
  void each(const Panel& panel, int64_t row, int64_t rows, const Word* sums, Value&& value) const {
    for (int64_t r = 0; r < rows; ++r) {
      float* y = args_.y + (row + r) * stride_of(args_);
      for (int64_t v = 0; v < panel.vectors; ++v) {
        const int64_t column = panel.column + v * kWidth, left = args_.rows_b - column;
        const Vec sum = load(reinterpret_cast<const float*>(sums + r * kPanel + v * kWidth));
        store_upto(y + column, value(row + r, column, left, sum), left);
      }
    }
  }

  // |a - b|^2 = |a|^2 + |b|^2 - 2 ab unless that cancels; then, and if a square overflowed, it is computed from the
  // differences.
  void euclidean(const Panel& panel, int64_t row, int64_t rows, const Word* sums) const {
    IntVec all_far = broadcast(-1);
    each(panel, row, rows, sums, [&](int64_t i, int64_t j, int64_t left, Vec sum) {
      const Vec squares = broadcast(a_[i]) + load_upto_ones(b_ + j, left);
      const Vec squared = squares - (sum + sum);
      const IntVec far = squared > squares * broadcast(kNear);
      all_far &= left >= kWidth ? far : far | (load_words(kLanes) >= broadcast(static_cast<int32_t>(left)));
      return far ? squared : broadcast(-1.0f);
    });
    const int64_t columns = std::min(panel.vectors * kWidth, args_.rows_b - panel.column);
    const auto both = [](auto a, auto b) { return a & b; };
    if (fold_halves(all_far, both, std::make_integer_sequence<int, kWidth / 2>()) == 0)
      measure_near(panel.column, columns, row, rows);
    for (int64_t r = 0; r < rows; ++r) {
      float* y = args_.y + (row + r) * stride_of(args_) + panel.column;
      for (int64_t j = 0; j < columns; ++j) y[j] = -std::sqrt(y[j]);
    }
  }

  // Writes the squared distances of close pairs, marked by -1, to y.
  void measure_near(int64_t column, int64_t columns, int64_t row, int64_t rows) const {
    for (int64_t r = row; r < row + rows; ++r) {
      float* y = args_.y + r * stride_of(args_);
      for (int64_t j = column; j < column + columns; ++j)
        if (y[j] == -1.0f) y[j] = squared_distance(args_.a + r * args_.width, args_.b + j * args_.width, args_.width);
    }
  }

  static constexpr float kNear = static_cast<float>(kNearShare);
  static constexpr int32_t kLanes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

  const SimilarityArgs& args_;
  const float *a_, *b_;
};

// Words k .. k + words of the panel's rows of b, transposed.
void pack_panel(const SimilarityArgs& args, const Panel& panel, int64_t k, int64_t words, Word* to) {
  for (int64_t v = 0; v < panel.vectors; ++v) {
    const int64_t first = panel.column + v * kWidth, columns = std::min<int64_t>(kWidth, args.rows_b - first);
    const Word* from[kWidth];
    for (int64_t i = 0; i < columns; ++i)
      from[i] = reinterpret_cast<const Word*>(args.b + (first + i) * args.width + k);
    transpose_columns(from, columns, words, to + v * kWidth, panel.vectors * kWidth);
  }
}

// sums [kRows, kPanel] (+)= rows of a times a block of the panel
template <int kRows, int kVectors>
void run_tile(const Word* a, int64_t a_stride, const Word* b, int64_t words, bool first, Word* sums) {
  auto* floats = reinterpret_cast<float*>(sums);
  Vec sum[kRows][kVectors];
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v) sum[r][v] = first ? Vec{} : load(floats + r * kPanel + v * kWidth);
  multiply<FloatDot>(sum, a, a_stride, b, kVectors * kWidth, words);
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v) store(floats + r * kPanel + v * kWidth, sum[r][v]);
}

// A sum continues in the next block of words: it is one chain of additions, whatever the size of the blocks.
bool multiply_part(const SimilarityArgs& args, const Part& part, const Finish& finish) {
  const int64_t rows = part.row_end - part.row_begin, depth = std::min(args.width, kDepth);
  auto* packed =
      static_cast<Word*>(thread_scratch(Scratch::kTask, static_cast<size_t>((depth + rows) * kPanel) * sizeof(Word)));
  if (!packed) return false;
  Word* sums = packed + depth * kPanel;
  for (int64_t column = part.column_begin; column < part.column_end; column += kPanel) {
    const int64_t vectors = divide_up(std::min<int64_t>(kPanel, args.rows_b - column), kWidth);
    const Panel panel{packed, column, vectors};
    int64_t k = 0;
    do {  // once even if the width is 0, because the products are then 0
      const int64_t words = std::min(depth, args.width - k);
      pack_panel(args, panel, k, words, packed);
      int64_t tiles = divide_up(rows, kTileRows);
      for (int64_t row = part.row_begin; row < part.row_end; --tiles) {
        const int64_t height = divide_up(part.row_end - row, tiles);
        Word* tile_sums = sums + (row - part.row_begin) * kPanel;
        const auto* a = reinterpret_cast<const Word*>(args.a + row * args.width + k);
        with_tile(height, vectors, [&]<int kRows, int kVectors>() {
          run_tile<kRows, kVectors>(a, args.width, packed, words, k == 0, tile_sums);
        });
        if (k + words == args.width) finish(panel, row, height, tile_sums);
        row += height;
      }
      k += words;
    } while (k < args.width);
  }
  return true;
}

constexpr int kPairRows = 2, kPairColumns = 4;

// y[i, j] = -sum |a_i - b_j| for a tile of pairs; each pair's sum has the same order in every tile.
template <int kRows, int kColumns>
void manhattan_tile(const SimilarityArgs& args, int64_t row, int64_t column) {
  const float *a = args.a + row * args.width, *b = args.b + column * args.width;
  const IntVec size_bits = broadcast(0x7fffffff);
  Vec total[kRows][kColumns] = {};
  const auto add = [&](auto take, int64_t i) {
    Vec x[kRows];
    for (int r = 0; r < kRows; ++r) x[r] = take(a + r * args.width + i);
#pragma GCC unroll 4
    for (int c = 0; c < kColumns; ++c) {
      const Vec value = take(b + c * args.width + i);
#pragma GCC unroll 2
      for (int r = 0; r < kRows; ++r)
        total[r][c] += reinterpret_cast<Vec>(reinterpret_cast<IntVec>(x[r] - value) & size_bits);
    }
  };
  const int64_t whole = args.width / kWidth * kWidth, rest = args.width - whole;
  for (int64_t i = 0; i < whole; i += kWidth) add([](const float* from) { return load(from); }, i);
  if (rest) add([rest](const float* from) { return load_part(from, rest); }, whole);
  for (int r = 0; r < kRows; ++r)
    for (int c = 0; c < kColumns; ++c) args.y[(row + r) * stride_of(args) + column + c] = -sum_lanes(total[r][c]);
}

void manhattan_part(const SimilarityArgs& args, const Part& part) {
  for (int64_t row = part.row_begin; row < part.row_end; row += kPairRows) {
    const int64_t rows = std::min<int64_t>(kPairRows, part.row_end - row);
    for (int64_t column = part.column_begin; column < part.column_end; column += kPairColumns) {
      const int64_t columns = std::min<int64_t>(kPairColumns, part.column_end - column);
      with_tile<kPairColumns, kPairRows>(
          rows, columns, [&]<int kRows, int kColumns>() { manhattan_tile<kRows, kColumns>(args, row, column); });
    }
  }
}

// Lengths or squares of the rows of a, then of b, in the calling thread's memory; null if none is left.
float* measure_rows(Stream& stream, const SimilarityArgs& args) {
  const int64_t rows = args.rows_a + args.rows_b;
  auto* sizes = static_cast<float*>(thread_scratch(Scratch::kShared, static_cast<size_t>(rows) * sizeof(float)));
  if (!sizes) return nullptr;
  run_tasks(stream, divide_up(rows, kRowsPerTask), [&](int64_t task) {
    const int64_t end = std::min(rows, (task + 1) * kRowsPerTask);
    for (int64_t row = task * kRowsPerTask; row < end; ++row) {
      const float* x = row < args.rows_a ? args.a + row * args.width : args.b + (row - args.rows_a) * args.width;
      sizes[row] = args.kind == Similarity::kCosine ? length_of(x, args.width) : sum_squares(x, args.width);
    }
  });
  return sizes;
}

}  // namespace

Status similarity(Stream& stream, const SimilarityArgs& args) {
  if (!can_run(stream, args)) return kBadArgument;
  if (args.rows_a == 0 || args.rows_b == 0) return kOk;
  const float* sizes = nullptr;
  if (args.kind == Similarity::kCosine || args.kind == Similarity::kEuclidean) {
    sizes = measure_rows(stream, args);
    if (!sizes) return kOutOfMemory;
  }
  const Finish finish(args, sizes);
  const Cut cut(args);
  bool out_of_memory = false;
  run_tasks(stream, cut.row_blocks * cut.panel_blocks, [&](int64_t task) {
    const int64_t row = task / cut.panel_blocks * cut.row_block;
    const int64_t column = task % cut.panel_blocks * cut.panel_block * kPanel;
    const Part part{row, std::min(args.rows_a, row + cut.row_block), column,
                    std::min(args.rows_b, column + cut.panel_block * kPanel)};
    if (part.row_begin >= part.row_end) return;
    if (args.kind == Similarity::kManhattan)
      manhattan_part(args, part);
    else if (!multiply_part(args, part, finish))
      __atomic_store_n(&out_of_memory, true, __ATOMIC_RELAXED);
  });
  return out_of_memory ? kOutOfMemory : kOk;
}

}  // namespace embedcore::cpu::EMBEDCORE_ISA
