// ops/attention.h with scores that stay in cache. A task is one text, one key head and one run of its queries: the keys are
// packed transposed and the values beside them, then a few query rows at a time go scores -> softmax -> values.
#include "ops/attention.h"

#include <algorithm>
#include <cmath>

#include "cpu/backend.h"
#include "cpu/math.h"
#include "cpu/tile.h"

namespace embedcore::cpu::EMBEDCORE_ISA {
namespace {

constexpr int64_t kQueryBlock = 48;   // query rows whose scores are in cache together
constexpr int64_t kQueryRun = 256;    // query rows of one task
constexpr int64_t kScoreFloats = 96 * 1024;  // scores held at once; long texts take fewer rows at a time

constexpr int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t round_up(int64_t a, int64_t b) { return divide_up(a, b) * b; }

// q or k of one head of one token: RMS norm over the head, then rotation of (x_i, x_{i + half}).
void prepare_head(const AttentionArgs& args, float* x, const float* norm, int64_t position) {
  if (norm) {
    double squares = 0;
    for (int64_t i = 0; i < args.head_dim; ++i) squares += static_cast<double>(x[i]) * x[i];
    const float scale = static_cast<float>(1.0 / std::sqrt(squares / static_cast<double>(args.head_dim) + static_cast<double>(args.qk_norm_epsilon)));
    for (int64_t i = 0; i < args.head_dim; ++i) x[i] = x[i] * scale * norm[i];
  }
  if (!args.rope_cos) return;
  const int64_t half = args.rotary_dim / 2;
  const float* cosine = args.rope_cos + position * half;
  const float* sine = args.rope_sin + position * half;
  for (int64_t i = 0; i < half; ++i) {
    const float a = x[i], b = x[i + half];
    x[i] = a * cosine[i] - b * sine[i];
    x[i + half] = b * cosine[i] + a * sine[i];
  }
}

void prepare_text(const AttentionArgs& args, int64_t text) {
  const int64_t begin = args.offsets[text], end = args.offsets[text + 1];
  for (int64_t t = begin; t < end; ++t) {
    float* row = args.qkv + t * args.qkv_stride;
    for (int64_t h = 0; h < args.heads; ++h) prepare_head(args, row + h * args.head_dim, args.q_norm, t - begin);
    for (int64_t h = 0; h < args.kv_heads; ++h) prepare_head(args, row + (args.heads + h) * args.head_dim, args.k_norm, t - begin);
  }
}

// Where the pieces of one task lie in the thread's scratch.
struct Layout {
  int64_t keys;        // keys of the text rounded up to whole vectors
  int64_t value_dim;   // head_dim rounded up
  int64_t query_rows;  // rows of a query block
  float* packed_keys;    // panels of [head_dim][kPanel], the last one narrower
  float* packed_values;  // [keys, value_dim]
  float* scores;         // [query_rows, keys]
  float* sums;           // [query_rows]

  Layout(int64_t n, int64_t head_dim) {
    keys = round_up(n, kWidth);
    value_dim = round_up(head_dim, kWidth);
    query_rows = std::clamp(kScoreFloats / keys / kTileRows * kTileRows, static_cast<int64_t>(kTileRows), kQueryBlock);
  }
  int64_t floats(int64_t head_dim) const { return keys * (head_dim + value_dim + query_rows) + round_up(query_rows, kWidth); }
  void place(float* scratch, int64_t head_dim) {
    packed_keys = scratch;
    packed_values = packed_keys + keys * head_dim;
    scores = packed_values + keys * value_dim;
    sums = scores + keys * query_rows;
  }
};

void pack_keys_and_values(const AttentionArgs& args, const Layout& at, int64_t begin, int64_t n, int64_t kv_head) {
  const float* keys = args.qkv + begin * args.qkv_stride + (args.heads + kv_head) * args.head_dim;
  const float* values = keys + args.kv_heads * args.head_dim;
  for (int64_t first = 0; first < at.keys; first += kPanel) {
    const int64_t width = std::min<int64_t>(kPanel, at.keys - first);
    float* to = at.packed_keys + first * args.head_dim;
    for (int64_t j = 0; j < width; ++j) {
      const float* key = keys + (first + j) * args.qkv_stride;
      if (first + j < n)
        for (int64_t d = 0; d < args.head_dim; ++d) to[d * width + j] = key[d];
      else
        for (int64_t d = 0; d < args.head_dim; ++d) to[d * width + j] = 0.0f;
    }
  }
  for (int64_t j = 0; j < n; ++j) {
    float* to = at.packed_values + j * at.value_dim;
    const float* value = values + j * args.qkv_stride;
    for (int64_t d = 0; d < at.value_dim; ++d) to[d] = d < args.head_dim ? value[d] : 0.0f;
  }
}

// scores[r, first .. last) = scale * q_r . k, for whole panels around the keys that any of the rows sees.
void score_rows(const AttentionArgs& args, const Layout& at, const float* queries, int64_t rows, KeyRange keys) {
  const Vec scale = broadcast(args.scale);
  for (int64_t first = keys.first / kPanel * kPanel; first < keys.last; first += kPanel) {
    const int64_t width = std::min<int64_t>(kPanel, at.keys - first);
    const float* panel = at.packed_keys + first * args.head_dim;
    for (int64_t r = 0; r < rows; r += kTileRows) {
      with_tile(std::min<int64_t>(kTileRows, rows - r), width / kWidth, [&]<int kRows, int kVectors>() {
        Vec sum[kRows][kVectors] = {};
        multiply(sum, queries + r * args.qkv_stride, args.qkv_stride, panel, width, args.head_dim);
        for (int i = 0; i < kRows; ++i)
          for (int v = 0; v < kVectors; ++v) store(at.scores + (r + i) * at.keys + first + v * kWidth, sum[i][v] * scale);
      });
    }
  }
}

// Turns row's scores over [seen.first, seen.last) into exp(score - max), zeros in the rest of [block.first, block.last); returns the sum.
float soften_row(float* row, KeyRange seen, KeyRange block, const float* bias) {
  if (bias)
    for (int64_t j = seen.first; j < seen.last; ++j) row[j] += bias[j];
  const int64_t count = seen.last - seen.first;
  float* from = row + seen.first;
  const int64_t whole = count / kWidth * kWidth, rest = count - whole;
  constexpr float kLowest = -3.4e38f;
  Vec best = broadcast(kLowest);
  for (int64_t j = 0; j < whole; j += kWidth) best = maximum(best, load(from + j));
  if (rest) best = maximum(best, load_part(from + whole, rest, kLowest));
  const Vec top = broadcast(max_lanes(best));
  Vec total = {};
  for (int64_t j = 0; j < whole; j += kWidth) {
    const Vec e = exp(load(from + j) - top);
    store(from + j, e);
    total += e;
  }
  if (rest) {
    store_part(from + whole, exp(load_part(from + whole, rest, kLowest) - top), rest);
    total += load_part(from + whole, rest);
  }
  for (int64_t j = block.first; j < seen.first; ++j) row[j] = 0.0f;
  for (int64_t j = seen.last; j < block.last; ++j) row[j] = 0.0f;
  return sum_lanes(total);
}

// y[r] = sum_j p[r, j] v[j] / sum[r]
void weigh_values(const AttentionArgs& args, const Layout& at, float* y, int64_t rows, KeyRange keys) {
  const float* values = at.packed_values + keys.first * at.value_dim;
  for (int64_t r = 0; r < rows; r += kTileRows) {
    const float* weights = at.scores + r * at.keys + keys.first;
    for (int64_t column = 0; column < at.value_dim; column += kPanel) {
      const int64_t vectors = std::min<int64_t>(kPanel, at.value_dim - column) / kWidth;
      with_tile(std::min<int64_t>(kTileRows, rows - r), vectors, [&]<int kRows, int kVectors>() {
        Vec sum[kRows][kVectors] = {};
        multiply(sum, weights, at.keys, values + column, at.value_dim, keys.last - keys.first);
        for (int i = 0; i < kRows; ++i) {
          const Vec factor = broadcast(1.0f / at.sums[r + i]);
          for (int v = 0; v < kVectors; ++v) {
            const int64_t from = column + v * kWidth;
            float* to = y + (r + i) * args.y_stride + from;
            const int64_t left = args.head_dim - from;
            if (left >= kWidth)
              store(to, sum[i][v] * factor);
            else
              store_part(to, sum[i][v] * factor, left);
          }
        }
      });
    }
  }
}

struct Task {
  int64_t text, kv_head, query_begin, query_end;
};

bool run_task(const AttentionArgs& args, const Task& task) {
  const int64_t begin = args.offsets[task.text], n = args.offsets[task.text + 1] - begin;
  Layout at(n, args.head_dim);
  float* scratch = thread_scratch(static_cast<size_t>(at.floats(args.head_dim)));
  if (!scratch) return false;
  at.place(scratch, args.head_dim);
  pack_keys_and_values(args, at, begin, n, task.kv_head);
  const int64_t group = args.heads / args.kv_heads;
  const int64_t prefix = args.mask == Mask::kPrefix ? args.prefix[task.text] : 0;
  for (int64_t head = task.kv_head * group; head < (task.kv_head + 1) * group; ++head) {
    const float* bias = args.bias ? args.bias + head * (2 * args.bias_reach + 1) + args.bias_reach : nullptr;
    for (int64_t first = task.query_begin; first < task.query_end; first += at.query_rows) {
      const int64_t rows = std::min(at.query_rows, task.query_end - first);
      KeyRange block = visible_keys(args.mask, args.window, prefix, first, n);
      for (int64_t r = 1; r < rows; ++r) {
        const KeyRange seen = visible_keys(args.mask, args.window, prefix, first + r, n);
        block = {std::min(block.first, seen.first), std::max(block.last, seen.last)};
      }
      score_rows(args, at, args.qkv + (begin + first) * args.qkv_stride + head * args.head_dim, rows, block);
      for (int64_t r = 0; r < rows; ++r) {
        const int64_t i = first + r;
        at.sums[r] = soften_row(at.scores + r * at.keys, visible_keys(args.mask, args.window, prefix, i, n), block, bias ? bias - i : nullptr);
      }
      weigh_values(args, at, args.y + (begin + first) * args.y_stride + head * args.head_dim, rows, block);
    }
  }
  return true;
}

}  // namespace

Status attention(Scope& scope, const AttentionArgs& args) {
  if (args.q_norm || args.k_norm || args.rope_cos) run_tasks(scope, args.texts, [&](int64_t text) { prepare_text(args, text); });
  int64_t longest = 0;
  for (int64_t i = 0; i < args.texts; ++i) longest = std::max<int64_t>(longest, args.offsets[i + 1] - args.offsets[i]);
  if (longest == 0) return kOk;
  const int64_t runs = divide_up(longest, kQueryRun);  // of the longest text; shorter ones leave some tasks empty
  bool out_of_memory = false;
  run_tasks(scope, args.texts * args.kv_heads * runs, [&](int64_t index) {
    const int64_t text = index / (args.kv_heads * runs);
    const int64_t n = args.offsets[text + 1] - args.offsets[text];
    const int64_t query_begin = index % runs * kQueryRun;
    if (query_begin >= n) return;
    const Task task{text, index / runs % args.kv_heads, query_begin, std::min(n, query_begin + kQueryRun)};
    if (!run_task(args, task)) __atomic_store_n(&out_of_memory, true, __ATOMIC_RELAXED);
  });
  return out_of_memory ? kOutOfMemory : kOk;
}

}  // namespace embedcore::cpu::EMBEDCORE_ISA
