// ops/attention.h with an online softmax. A task is one text, one key head and one run of queries. It packs the keys
// (transposed) and the values. Then it takes a few query rows at a time through the blocks of keys in order: scores ->
// softmax -> values, so that the scores stay in the cache. Blocks begin at fixed tokens of the text, which keeps a
// row's sums in one order.
#include "ops/attention.h"

#include <algorithm>
#include <cmath>

#include "cpu/backend.h"
#include "cpu/dropout.h"
#include "cpu/heads.h"
#include "ops/checks.h"

namespace embedcore::cpu::EMBEDCORE_ISA {
namespace {

constexpr int64_t kQueryRun = 256;           // query rows of one task
constexpr int64_t kQueryBlock = 48;          // query rows whose scores are in cache at the same time
constexpr int64_t kKeyBlock = 512;           // keys of a block
constexpr int64_t kScoreFloats = 12 * 1024;  // scores of a block of queries and keys
constexpr float kLowest = -3.4e38f;
constexpr int32_t kLanes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

// The parts of one task in the thread's scratch memory.
template <typename Dot>
struct Layout {
  using Element = ElementOf<Dot>;
  int64_t head_words;     // words of a query or key
  int64_t value_dim;      // head_dim rounded up to vectors
  int64_t query_rows;     // rows of a query block
  int64_t score_stride;   // floats; a row's last vector may extend beyond its keys
  int64_t weight_stride;  // words
  bool copies_queries;    // if rows or heads do not begin and end with a word
  Word* keys = nullptr;   // heads.h
  Word* values = nullptr;
  float* scores = nullptr;  // [query_rows, keys of a block]
  Word* weights = nullptr;  // [query_rows, keys of a block]: their softmax, in words for the product with the values;
                            // float32: the scores themselves
  Word* queries = nullptr;  // [query_rows, head_words], only where they are copied
  float* sums = nullptr;    // [query_rows, value_dim]
  // [query_rows]: greatest score so far, sum of powers so far, the factor by which this block rescales earlier sums
  float *tops = nullptr, *totals = nullptr, *factors = nullptr;
  bool drops;
  uint16_t* numbers = nullptr;  // of dropout, for the rows and the keys of a block; only where weights are dropped

  Layout(const AttentionArgs& args, int64_t n) {
    const int64_t keys_held = round_up(std::min(n, kKeyBlock), kWidth);
    head_words = divide_up(args.head_dim, Dot::kPerWord);
    value_dim = round_up(args.head_dim, kWidth);
    query_rows =
        std::clamp(kScoreFloats / keys_held / kTileRows * kTileRows, static_cast<int64_t>(kTileRows), kQueryBlock);
    score_stride = keys_held + kWidth;
    weight_stride = divide_up(score_stride, Dot::kPerWord);
    copies_queries = args.head_dim % Dot::kPerWord != 0 || args.qkv_stride % Dot::kPerWord != 0;
    drops = dropout_threshold(args.dropout.rate) > 0;
  }

  // Returns the bytes that all parts take; if memory is given, places them in it.
  size_t place(int64_t n, std::byte* memory) {
    size_t used = 0;
    const auto cut = [&](auto& part, int64_t count) {
      if (memory) part = reinterpret_cast<std::remove_reference_t<decltype(part)>>(memory + used);
      used += static_cast<size_t>(round_up(count, 16)) * sizeof(Word);
    };
    cut(keys, round_up(n, kWidth) * head_words);
    cut(values, divide_up(n, Dot::kPerWord) * value_dim);
    cut(scores, query_rows * score_stride);
    if (Dot::kPerWord > 1)
      cut(weights, query_rows * weight_stride);
    else
      weights = reinterpret_cast<Word*>(scores);
    cut(queries, copies_queries ? query_rows * head_words : 0);
    cut(sums, query_rows * value_dim);
    for (float** part : {&tops, &totals, &factors}) cut(*part, query_rows);
    cut(numbers, drops ? query_rows * (score_stride + 2 * kCounterNumbers) + kNumbersAtOnce : 0);
    return used;
  }
};

// Query rows, and the block of keys that they are multiplied with.
struct Block {
  int64_t first_key;  // of the block
  KeyRange keys;      // of the whole text, those that any of the rows sees
};

// scores[r, j] = scale * q_r . k_j, for whole panels around the block's keys.
template <typename Dot>
void score_rows(const AttentionArgs& args, const Layout<Dot>& at, const Word* queries, int64_t query_stride,
                int64_t rows, int64_t n, const Block& block) {
  const Vec scale = broadcast(args.scale * kScoreUnit<Dot>);
  for (int64_t first = block.keys.first / kPanel * kPanel; first < block.keys.last; first += kPanel) {
    const int64_t width = std::min<int64_t>(kPanel, round_up(n, kWidth) - first);
    const Word* panel = at.keys + first * at.head_words;
    float* scores = at.scores + (first - block.first_key);
    int64_t tiles = divide_up(rows, kTileRows);
    for (int64_t r = 0; r < rows; --tiles) {
      const int64_t height = divide_up(rows - r, tiles);
      with_tile(height, width / kWidth, [&]<int kRows, int kVectors>() {
        Vec sum[kRows][kVectors] = {};
        multiply<Dot>(sum, queries + r * query_stride, query_stride, panel, kVectors * kWidth, at.head_words);
        for (int i = 0; i < kRows; ++i)
          for (int v = 0; v < kVectors; ++v) store(scores + (r + i) * at.score_stride + v * kWidth, sum[i][v] * scale);
      });
      r += height;
    }
  }
}

// Turns the scores of row r into weights: powers of score - top for the keys it sees, zeros for the other keys of the
// block. Both ranges count from the block's first key.
template <typename Dot>
void softmax_row(const Layout<Dot>& at, int64_t r, KeyRange seen, KeyRange block, bool first, const float* bias) {
  using Element = ElementOf<Dot>;
  float* scores = at.scores + r * at.score_stride;
  Element* weights = reinterpret_cast<Element*>(at.weights + r * at.weight_stride);
  if (seen.first >= seen.last) {
    std::fill(weights + block.first, weights + block.last, Element{});
    at.factors[r] = 1.0f;
    return;
  }
  if (bias)
    for (int64_t j = seen.first; j < seen.last; ++j) scores[j] += bias[j] * kScoreUnit<Dot>;
  const int64_t whole = seen.first + (seen.last - seen.first) / kWidth * kWidth;
  const IntVec inside = load_words(kLanes) < broadcast(static_cast<int32_t>(seen.last - whole));
  Vec best = broadcast(at.tops[r]);
  for (int64_t j = seen.first; j < whole; j += kWidth) best = maximum(best, load(scores + j));
  if (whole < seen.last) best = maximum(best, inside ? load(scores + whole) : broadcast(kLowest));
  const float top = max_lanes(best);
  Vec total = {};
  for (int64_t j = seen.first; j < whole; j += kWidth) {
    const Vec weight = power<Dot>(load(scores + j) - broadcast(top));
    store(weights + j, weight);
    total += weight;
  }
  if (whole < seen.last) {
    const Vec weight = inside ? power<Dot>(load(scores + whole) - broadcast(top)) : Vec{};
    store(weights + whole, weight);
    total += weight;
  }
  for (int64_t j = block.first; j < seen.first; ++j) weights[j] = Element{};
  for (int64_t j = seen.last; j < block.last; ++j) weights[j] = Element{};
  if (first) {
    at.totals[r] = sum_lanes(total);
  } else {
    at.factors[r] = power<Dot>(broadcast(at.tops[r] - top))[0];
    at.totals[r] = at.totals[r] * at.factors[r] + sum_lanes(total);
  }
  at.tops[r] = top;
}

// Sets the weights that dropout takes to zero; its factor comes with the division by the sum. `seen` counts from the
// block's first key, and the first number is that of its key `first`.
template <typename Dot>
void drop_row(const Layout<Dot>& at, int64_t r, KeyRange seen, const uint16_t* numbers, int64_t first, float rate) {
  using Element = ElementOf<Dot>;
  auto* weights = reinterpret_cast<Element*>(at.weights + r * at.weight_stride);
  const auto threshold = static_cast<uint16_t>(dropout_threshold(rate));
  for (int64_t j = seen.first; j < seen.last; j += kWidth) {
    const HalfVec number = *reinterpret_cast<const UnalignedHalfVec*>(numbers + (j - first));
    if constexpr (Dot::kPerWord == 1) {
      const IntVec kept = __builtin_convertvector(number, IntVec) >= broadcast(static_cast<int32_t>(threshold));
      store(weights + j, kept ? load(weights + j) : Vec{});
    } else {
      // Not through auto, which would forget that the memory need not be aligned.
      const HalfVec weight = *reinterpret_cast<const UnalignedHalfVec*>(weights + j);
      *reinterpret_cast<UnalignedHalfVec*>(weights + j) = number >= threshold ? weight : HalfVec{};
    }
  }
}

// sums[r] = sums[r] * factor[r] + sum_j weights[r, j] v[j]; the first block begins with zeros.
template <typename Dot, int kMostRows, int kMostVectors>
void accumulate_values(const Layout<Dot>& at, int64_t rows, KeyRange words, int64_t first_word, bool first) {
  const Word* values = at.values + (first_word + words.first) * at.value_dim;
  int64_t tiles = divide_up(rows, kMostRows);
  for (int64_t r = 0; r < rows; --tiles) {
    const int64_t height = divide_up(rows - r, tiles);
    const Word* weights = at.weights + r * at.weight_stride + words.first;
    for (int64_t column = 0; column < at.value_dim; column += kMostVectors * kWidth) {
      const int64_t vectors = std::min<int64_t>(kMostVectors, (at.value_dim - column) / kWidth);
      with_tile<kMostVectors, kMostRows>(height, vectors, [&]<int kRows, int kVectors>() {
        float* sums = at.sums + r * at.value_dim + column;
        Vec sum[kRows][kVectors] = {};
        if (!first)
          for (int i = 0; i < kRows; ++i)
            for (int v = 0; v < kVectors; ++v)
              sum[i][v] = load(sums + i * at.value_dim + v * kWidth) * broadcast(at.factors[r + i]);
        multiply<Dot>(sum, weights, at.weight_stride, values + column, at.value_dim, words.last - words.first);
        for (int i = 0; i < kRows; ++i)
          for (int v = 0; v < kVectors; ++v) store(sums + i * at.value_dim + v * kWidth, sum[i][v]);
      });
    }
    r += height;
  }
}

struct Queries {
  const Word* words;
  int64_t stride;  // words
};

struct Task {
  int64_t text, kv_head, query_begin, query_end;
};

template <typename Dot>
class Run {
 public:
  using Element = ElementOf<Dot>;
  Run(const AttentionArgs& args, const Task& task)
      : args_(args),
        task_(task),
        begin_(args.offsets[task.text]),
        n_(args.offsets[task.text + 1] - begin_),
        prefix_(args.mask == Mask::kPrefix ? args.prefix[task.text] : 0),
        at_(args, n_) {}

  // False when memory ran out.
  bool run() {
    auto* memory = static_cast<std::byte*>(thread_scratch(Scratch::kTask, at_.place(n_, nullptr)));
    if (!memory) return false;
    at_.place(n_, memory);
    pack_keys<Dot>(args_, begin_, n_, task_.kv_head, at_.keys);
    pack_values<Dot>(args_, begin_, n_, task_.kv_head, at_.values);
    const int64_t group = args_.heads / args_.kv_heads;
    for (int64_t head = task_.kv_head * group; head < (task_.kv_head + 1) * group; ++head)
      for (int64_t first = task_.query_begin; first < task_.query_end; first += at_.query_rows)
        run_queries(head, first, std::min(at_.query_rows, task_.query_end - first));
    return true;
  }

 private:
  KeyRange visible(int64_t i) const { return visible_keys(args_.mask, args_.window, prefix_, i, n_); }

  void run_queries(int64_t head, int64_t first, int64_t rows) {
    KeyRange keys = visible(first);
    for (int64_t r = 1; r < rows; ++r) {
      const KeyRange seen = visible(first + r);
      keys = {std::min(keys.first, seen.first), std::max(keys.last, seen.last)};
    }
    std::fill_n(at_.tops, rows, kLowest);
    std::fill_n(at_.totals, rows, 0.0f);
    const Queries queries = queries_at(head, first, rows);
    const int64_t first_block = keys.first / kKeyBlock * kKeyBlock;
    for (int64_t block_key = first_block; block_key < keys.last; block_key += kKeyBlock) {
      const Block block{block_key, within(keys, block_key)};
      score_rows(args_, at_, queries.words, queries.stride, rows, n_, block);
      // Extended to whole words: keys outside the visible range get the weight 0, keys beyond the text the value 0.
      const KeyRange words{(block.keys.first - block_key) / Dot::kPerWord,
                           divide_up(block.keys.last - block_key, Dot::kPerWord)};
      for (int64_t r = 0; r < rows; ++r) {
        const KeyRange seen = within(visible(first + r), block_key);
        const float* bias =
            args_.bias ? args_.bias + head * (2 * args_.bias_reach + 1) + args_.bias_reach - (first + r) + block_key
                       : nullptr;
        softmax_row(at_, r, {seen.first - block_key, seen.last - block_key},
                    {words.first * Dot::kPerWord, words.last * Dot::kPerWord}, block_key == first_block, bias);
      }
      if (at_.drops) drop(head, first, rows, block);
      if (at_.value_dim <= kTallVectors * kWidth)
        accumulate_values<Dot, kTallRows, kTallVectors>(at_, rows, words, block_key / Dot::kPerWord,
                                                        block_key == first_block);
      else
        accumulate_values<Dot, kTileRows, kPanelVectors>(at_, rows, words, block_key / Dot::kPerWord,
                                                         block_key == first_block);
    }
    write(head, first, rows);
  }

  void drop(int64_t head, int64_t first, int64_t rows, const Block& block) const {
    const Dropout dropout = dropout_of(args_, head);
    const int64_t column = block.keys.first / kCounterNumbers * kCounterNumbers, columns = block.keys.last - column;
    dropout_numbers(dropout, dropout.rows + begin_ + first, rows, column, columns, at_.numbers);
    for (int64_t r = 0; r < rows; ++r) {
      const KeyRange seen = within(visible(first + r), block.first_key);
      drop_row(at_, r, {seen.first - block.first_key, seen.last - block.first_key},
               at_.numbers + r * round_up(columns, kCounterNumbers), column - block.first_key, dropout.rate);
    }
  }

  static KeyRange within(KeyRange keys, int64_t block_key) {
    return {std::max(keys.first, block_key), std::min(keys.last, block_key + kKeyBlock)};
  }

  // The rows themselves, or a copy where a head's last word would hold an element of the next head.
  Queries queries_at(int64_t head, int64_t first, int64_t rows) const {
    const Element* from =
        static_cast<const Element*>(args_.qkv) + (begin_ + first) * args_.qkv_stride + head * args_.head_dim;
    if (!at_.copies_queries) return {reinterpret_cast<const Word*>(from), args_.qkv_stride / Dot::kPerWord};
    for (int64_t r = 0; r < rows; ++r) {
      Word* to = at_.queries + r * at_.head_words;
      to[at_.head_words - 1] = 0;
      std::memcpy(to, from + r * args_.qkv_stride, static_cast<size_t>(args_.head_dim) * sizeof(Element));
    }
    return {at_.queries, at_.head_words};
  }

  // y = sums / totals, with the factor of dropout
  void write(int64_t head, int64_t first, int64_t rows) const {
    Element* y = static_cast<Element*>(args_.y) + (begin_ + first) * args_.y_stride + head * args_.head_dim;
    const float kept = dropout_factor(args_.dropout.rate);  // 1 without dropout
    for (int64_t r = 0; r < rows; ++r, y += args_.y_stride) {
      const Vec factor = broadcast(kept / at_.totals[r]);
      for (int64_t d = 0; d < args_.head_dim; d += kWidth)
        store_upto(y + d, load(at_.sums + r * at_.value_dim + d) * factor, args_.head_dim - d);
    }
    if (args_.lse) write_lse(head, first, rows);
  }

  // Once per row, so it can be in float64.
  void write_lse(int64_t head, int64_t first, int64_t rows) const {
    float* lse = args_.lse + head * args_.offsets[args_.texts] + begin_ + first;
    for (int64_t r = 0; r < rows; ++r)
      lse[r] = static_cast<float>(static_cast<double>(at_.tops[r]) / static_cast<double>(kScoreUnit<Dot>) +
                                  std::log(static_cast<double>(at_.totals[r])));
  }

  const AttentionArgs& args_;
  const Task& task_;
  int64_t begin_, n_, prefix_;
  Layout<Dot> at_;
};

}  // namespace

Status attention(Stream& stream, const AttentionArgs& args) {
  if (!can_run(stream, args, supports, kTakesTraining)) return kBadArgument;
  const bool half = args.dtype == DType::kBF16;
  if (args.q_norm || args.k_norm || args.rope_cos || args.raw)
    run_tasks(stream, args.texts, [&](int64_t text) {
      half ? normalize_and_rotate<uint16_t>(args, text) : normalize_and_rotate<float>(args, text);
    });
  if (args.longest == 0) return kOk;
  const int64_t runs = divide_up(args.longest, kQueryRun);  // of the longest text; a shorter one has empty tasks
  bool out_of_memory = false;
  run_tasks(stream, args.texts * args.kv_heads * runs, [&](int64_t index) {
    const int64_t text = index / (args.kv_heads * runs);
    const int64_t n = args.offsets[text + 1] - args.offsets[text];
    const int64_t query_begin = index % runs * kQueryRun;
    if (query_begin >= n) return;
    const Task task{text, index / runs % args.kv_heads, query_begin, std::min(n, query_begin + kQueryRun)};
    if (!(half ? Run<Bfloat16Dot>(args, task).run() : Run<FloatDot>(args, task).run()))
      __atomic_store_n(&out_of_memory, true, __ATOMIC_RELAXED);
  });
  return out_of_memory ? kOutOfMemory : kOk;
}

}  // namespace embedcore::cpu::EMBEDCORE_ISA
