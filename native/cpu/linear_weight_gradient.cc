// dW = dz^T x of ops/linear.h. Sums run along the rows, so both operands are packed rows as they are: x in panels, dz
// in strips of kTileRows columns, [words][kTileRows], of which a tile reads a strip from end to end. A task owns a
// block of dW and walks all rows in order.
#include <cstring>

#include "cpu/backend.h"
#include "cpu/panels.h"
#include "ops/checks.h"
#include "ops/linear.h"

namespace embedcore::cpu::EMBEDCORE_ISA {
namespace {

constexpr int64_t kDepth = 512;        // words of rows: a strip of it stays in L1, a panel and a task's strips in L2
constexpr int64_t kRoundWords = 2048;  // packed at a time
constexpr int64_t kStrips = 16;        // of a task
constexpr int64_t kOwnOutputs = kStrips * kTileRows;
constexpr int64_t kLeastInputs = 192;  // of a task, so that packing its strips is little beside its products
constexpr int64_t kWantedTasks = 8;
constexpr int64_t kTogether = 8;  // words of a strip written at a time, so that lines fill while they are in L1
constexpr int64_t kRowWords = round_up(kOwnOutputs, kWidth) + 8;  // of a row of dz before it is cut into strips
constexpr int64_t kSpill = 8;                                     // words that may be written beyond a strip

struct Gradient {
  const LinearWeightGradientArgs& args;
  int64_t per_word;
  Panels x;            // of this round
  int64_t first_word;  // the round's first
};

int64_t strip_words(int64_t words) { return words * kTileRows + kSpill; }

// dbias += scale dz for columns column .. column + columns of rows row .. end.
void add_bias(const LinearWeightGradientArgs& args, int64_t column, int64_t columns, int64_t row, int64_t end) {
  constexpr int kMost = 6;  // vectors whose chains run side by side
  const Vec scale = broadcast(args.scale);
  for (int64_t c = 0; c < columns; c += kMost * kWidth) {
    const int64_t left = columns - c;
    float* bias = args.dbias + column + c;
    const float* dz = args.dz + column + c;
    with_tile<kMost, 1>(1, std::min<int64_t>(kMost, divide_up(left, kWidth)), [&]<int kRows, int kVectors>() {
      const auto columns = [&](int v) { return v + 1 < kVectors ? kWidth : left - v * kWidth; };
      Vec sum[kVectors];
      for (int v = 0; v < kVectors; ++v) sum[v] = load_upto(bias + v * kWidth, columns(v));
      for (int64_t r = row; r < end; ++r) {
        const float* from = dz + r * args.dz_stride;
        for (int v = 0; v < kVectors - 1; ++v) sum[v] += load(from + v * kWidth) * scale;
        sum[kVectors - 1] += load_upto(from + (kVectors - 1) * kWidth, left - (kVectors - 1) * kWidth) * scale;
      }
      for (int v = 0; v < kVectors; ++v) store_upto(bias + v * kWidth, sum[v], columns(v));
    });
  }
}

// Words begin .. end of dz's columns column .. column + columns, in strips.
void pack_strips(const Gradient& job, int64_t column, int64_t columns, int64_t begin, int64_t end, Word* strips) {
  const LinearWeightGradientArgs& args = job.args;
  const Matrix dz{args.dz, DType::kF32, args.dz_stride, args.rows, column + columns, args.scale, begin * job.per_word};
  const int64_t vectors = divide_up(columns, kWidth), row_words = vectors * kWidth;
  alignas(64) Word rows[kTogether * kRowWords];
  for (int64_t k = 0; k < end - begin; k += kTogether) {
    const int64_t count = std::min(kTogether, end - begin - k);
    pack_rows(dz, args.dtype, column, vectors, k, k + count, rows);
    for (int64_t strip = 0; strip * kTileRows < columns; ++strip) {
      Word* to = strips + strip * strip_words(end - begin) + k * kTileRows;
      const Word* from = rows + strip * kTileRows;
      // Eight words at a time: the two beyond the six are overwritten by the next, or are the strip's spill.
      for (int64_t i = 0; i < count; ++i) std::memcpy(to + i * kTileRows, from + i * row_words, 8 * sizeof(Word));
    }
  }
}

// dweight, rows of stride `in` from the tile's first element on, += strip times panel.
// next: where the tile after it begins, whose elements would otherwise be waited for.
template <typename Dot, int kRows, int kVectors>
void run_tile(const Word* strip, const Word* panel, int64_t words, float* dweight, int64_t in, int64_t left,
              const float* next) {
  using Sum = typename Dot::Sum;
  const auto columns = [&](int v) { return v + 1 < kVectors ? kWidth : left - v * kWidth; };
  Sum sum[kRows][kVectors];
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v) sum[r][v] = load_upto(dweight + r * in + v * kWidth, columns(v));
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v) __builtin_prefetch(next + r * in + v * kWidth, 1);
  multiply<Dot, kRows, kVectors, kTileRows>(sum, strip, 1, panel, kVectors * kWidth, words);
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v) store_upto(dweight + r * in + v * kWidth, sum[r][v], columns(v));
}

// The block of outputs output .. output + outputs and panels first .. last. bias: also that of dbias.
template <typename Dot>
void run_block(const Gradient& job, int64_t output, int64_t outputs, int64_t first, int64_t last, bool bias,
               Word* strips) {
  const LinearWeightGradientArgs& args = job.args;
  const int64_t words = job.x.words, depth = divide_up(words, divide_up(words, kDepth));
  for (int64_t k = 0; k < words; k += depth) {
    const int64_t step = std::min(depth, words - k), begin = job.first_word + k;
    if (bias) add_bias(args, output, outputs, begin * job.per_word, std::min(args.rows, (begin + step) * job.per_word));
    pack_strips(job, output, outputs, begin, begin + step, strips);
    for (int64_t index = first; index < last; ++index) {
      const Panel panel = panel_at(job.x, index);
      const Word* block = panel.weights + k * panel.vectors * kWidth;
      for (int64_t o = 0; o < outputs; o += kTileRows) {
        float* dweight = args.dweight + (output + o) * args.in + panel.column;
        const Word* strip = strips + o / kTileRows * strip_words(step);
        with_tile(std::min<int64_t>(kTileRows, outputs - o), panel.vectors, [&]<int kRows, int kVectors>() {
          run_tile<Dot, kRows, kVectors>(strip, block, step, dweight, args.in, args.in - panel.column,
                                         dweight + kTileRows * args.in);
        });
      }
    }
  }
}

// Words begin .. end of all rows.
bool run_round(Stream& stream, const LinearWeightGradientArgs& args, int64_t per_word, Word* packed, int64_t begin,
               int64_t end) {
  const Gradient job{args, per_word, {packed, end - begin, args.in}, begin};
  const int64_t panels = divide_up(args.in, kPanel), pieces = divide_up(end - begin, kDepth);
  const Matrix x{args.x, args.x_dtype, args.x_stride, args.rows, args.in, 1, begin * per_word};
  run_tasks(stream, panels * pieces, [&](int64_t task) {
    const Panel panel = panel_at(job.x, task % panels);
    const int64_t k = task / panels * kDepth, width = panel.vectors * kWidth;
    pack_rows(x, args.dtype, panel.column, panel.vectors, k, std::min(end - begin, k + kDepth),
              packed + panel.column * job.x.words + k * width);
  });
  const int64_t heights = divide_up(args.out, kOwnOutputs);
  const int64_t most_widths = std::max<int64_t>(1, panels / divide_up(kLeastInputs, kPanel));
  const int64_t widths = std::min(most_widths, divide_up(kWantedTasks, heights)), width = divide_up(panels, widths);
  bool out_of_memory = false;
  run_tasks(stream, heights * widths, [&](int64_t task) {
    const int64_t output = task / widths * kOwnOutputs, outputs = std::min(kOwnOutputs, args.out - output);
    const int64_t first = task % widths * width, last = std::min(panels, first + width);
    if (first >= last) return;
    auto* strips = static_cast<Word*>(
        thread_scratch(Scratch::kTask, static_cast<size_t>(kStrips * strip_words(kDepth)) * sizeof(Word)));
    if (!strips) {
      __atomic_store_n(&out_of_memory, true, __ATOMIC_RELAXED);
      return;
    }
    const bool bias = args.dbias && first == 0;
    if (args.dtype == DType::kBF16)
      run_block<Bfloat16Dot>(job, output, outputs, first, last, bias, strips);
    else
      run_block<FloatDot>(job, output, outputs, first, last, bias, strips);
  });
  return !out_of_memory;
}

}  // namespace

Status linear_weight_gradient(Stream& stream, const LinearWeightGradientArgs& args) {
  if (!can_run(stream, args, supports)) return kBadArgument;
  if (args.rows == 0) return kOk;
  if (!args.dweight) {
    if (args.dbias)
      run_tasks(stream, divide_up(args.out, kOwnOutputs), [&](int64_t task) {
        const int64_t column = task * kOwnOutputs;
        add_bias(args, column, std::min(kOwnOutputs, args.out - column), 0, args.rows);
      });
    return kOk;
  }
  const int64_t per_word = args.dtype == DType::kBF16 ? 2 : 1, words = divide_up(args.rows, per_word);
  const int64_t round = std::min(words, kRoundWords);
  auto* packed = static_cast<Word*>(
      thread_scratch(Scratch::kShared, static_cast<size_t>(round * round_up(args.in, kWidth)) * sizeof(Word)));
  if (!packed) return kOutOfMemory;
  for (int64_t begin = 0; begin < words; begin += round)
    if (!run_round(stream, args, per_word, packed, begin, std::min(words, begin + round))) return kOutOfMemory;
  return kOk;
}

}  // namespace embedcore::cpu::EMBEDCORE_ISA
