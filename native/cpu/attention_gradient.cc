// The backward pass of ops/attention.h. A task is one text and one key head; it takes the query heads of the group one
// after the other and blocks of queries through the blocks of keys in order. A pair of blocks is two products for the
// scores and the gradients of the weights (attention_scores.h), then three for dv, dk and dq. dk and dv stay in the
// task's memory until all queries have been added, dq for one block of queries. Blocks begin at fixed tokens of the
// text, which keeps the sums in one order.
#include "ops/attention.h"

#include "cpu/attention_scores.h"
#include "cpu/backend.h"
#include "ops/checks.h"

namespace embedcore::cpu::EMBEDCORE_ISA {
namespace {

// Calls body(first, rows) for each block of queries.
template <typename Body>
void each_query_block(int64_t n, Body&& body) {
  for (int64_t first = 0; first < n; first += kGradientQueries) body(first, std::min(kGradientQueries, n - first));
}

// Calls body(part) for the part of the keys in each block of keys.
template <typename Body>
void each_key_block(KeyRange keys, Body&& body) {
  for (int64_t first = keys.first; first < keys.last;) {
    const int64_t last = std::min(keys.last, first / kGradientKeys * kGradientKeys + kGradientKeys);
    body(KeyRange{first, last});
    first = last;
  }
}

// Column 0 of a tile is the first key of its block.
Matrix from_key(Matrix tile, int64_t key) { return {tile.data + key % kGradientKeys, tile.stride}; }

template <typename Dot>
class GradientTask {
 public:
  GradientTask(const AttentionGradientArgs& args, int64_t text, int64_t kv_head)
      : args_(args), kv_head_(kv_head), tiles_(args.forward, args.dy, args.dy_stride, text) {}

  // False when memory ran out.
  bool run() {
    Cutter counter(nullptr);
    place(counter);
    auto* memory = static_cast<std::byte*>(thread_scratch(Scratch::kTask, counter.used()));
    if (!memory) return false;
    Cutter cutter(memory);
    place(cutter);
    const AttentionArgs& forward = args_.forward;
    const int64_t n = tiles_.tokens(), group = forward.heads / forward.kv_heads;
    tiles_.take_keys(kv_head_);
    std::fill_n(dkeys_, n * tiles_.width(), 0.0f);
    std::fill_n(dvalues_, n * tiles_.width(), 0.0f);
    for (int64_t head = kv_head_ * group; head < (kv_head_ + 1) * group; ++head)
      each_query_block(n, [&](int64_t first, int64_t rows) { run_queries(head, first, rows); });
    write_keys();
    return true;
  }

 private:
  void place(Cutter& cutter) {
    tiles_.place(cutter);
    dkeys_ = cutter.cut<float>((tiles_.tokens() + 1) * tiles_.width());  // a read may extend beyond the last row
    dvalues_ = cutter.cut<float>(tiles_.tokens() * tiles_.width());
    dqueries_ = cutter.cut<float>((kGradientQueries + 1) * tiles_.width());
  }

  void run_queries(int64_t head, int64_t first, int64_t rows) {
    const int64_t width = tiles_.width(), vectors = width / kWidth;
    const KeyRange seen = tiles_.take_queries(head, first, rows);
    each_key_block(seen, [&](KeyRange keys) {
      tiles_.weigh(keys);
      const int64_t count = keys.last - keys.first;
      const Matrix weights = from_key(tiles_.weights(), keys.first);
      const Matrix scores = from_key(tiles_.score_gradients(), keys.first);
      multiply_small<Left::kColumns>(dvalues_ + keys.first * width, width, weights, tiles_.dy(), count, vectors, rows,
                                     true);
      multiply_small<Left::kColumns>(dkeys_ + keys.first * width, width, scores, tiles_.queries(), count, vectors, rows,
                                     true);
      const Matrix key_rows{tiles_.keys().data + keys.first * width, width};
      multiply_small<Left::kRows>(dqueries_, width, scores, key_rows, rows, vectors, count, keys.first != seen.first);
    });
    const AttentionArgs& forward = args_.forward;
    for (int64_t r = 0; r < rows; ++r)
      rotate_back(forward, dqueries_ + r * width, forward.scale, first + r, row(first + r) + head * forward.head_dim);
  }

  void write_keys() {
    const AttentionArgs& forward = args_.forward;
    for (int64_t j = 0; j < tiles_.tokens(); ++j) {
      float* key = row(j) + (forward.heads + kv_head_) * forward.head_dim;
      float* value = key + forward.kv_heads * forward.head_dim;
      rotate_back(forward, dkeys_ + j * tiles_.width(), forward.scale, j, key);
      std::copy_n(dvalues_ + j * tiles_.width(), forward.head_dim, value);
    }
  }

  // Of dqkv, of a token of the text.
  float* row(int64_t token) const { return args_.dqkv + (tiles_.begin() + token) * args_.dqkv_stride; }

  const AttentionGradientArgs& args_;
  int64_t kv_head_;
  ScoreTiles<Dot> tiles_;
  float *dkeys_ = nullptr, *dvalues_ = nullptr;  // [tokens, width]
  float* dqueries_ = nullptr;                    // [kGradientQueries, width]
};

// dbias of one head. False when memory ran out.
template <typename Dot>
bool add_bias_gradient(const AttentionBiasGradientArgs& args, int64_t head) {
  const AttentionArgs& forward = args.forward;
  const int64_t reach = forward.bias_reach;
  float* dbias = args.dbias + head * (2 * reach + 1) + reach;  // of a key that is its query
  for (int64_t text = 0; text < forward.texts; ++text) {
    ScoreTiles<Dot> tiles(forward, args.dy, args.dy_stride, text);
    if (tiles.tokens() == 0) continue;
    Cutter counter(nullptr);
    tiles.place(counter);
    auto* memory = static_cast<std::byte*>(thread_scratch(Scratch::kTask, counter.used()));
    if (!memory) return false;
    Cutter cutter(memory);
    tiles.place(cutter);
    tiles.take_keys(head / (forward.heads / forward.kv_heads));
    each_query_block(tiles.tokens(), [&](int64_t first, int64_t rows) {
      // An element of dbias meets the keys of later blocks with later queries, so its sum is in the order of queries.
      each_key_block(tiles.take_queries(head, first, rows), [&](KeyRange keys) {
        tiles.weigh(keys);
        for (int64_t r = 0; r < rows; ++r) {
          const KeyRange seen = tiles.seen(r, keys);
          const Matrix scores = from_key(tiles.score_gradients(), keys.first);
          const float* from = scores.data + r * scores.stride - keys.first;
          float* to = dbias - (first + r);
          for (int64_t j = seen.first; j < seen.last; j += kWidth) {
            const int64_t left = seen.last - j;
            store_upto(to + j, load_upto(to + j, left) + load(from + j), left);
          }
        }
      });
    });
  }
  return true;
}

}  // namespace

Status attention_gradient(Stream& stream, const AttentionGradientArgs& args) {
  if (!can_run(stream, args, supports)) return kBadArgument;
  const AttentionArgs& forward = args.forward;
  if (forward.longest == 0) return kOk;
  bool out_of_memory = false;
  run_tasks(stream, forward.texts * forward.kv_heads, [&](int64_t task) {
    const int64_t text = task / forward.kv_heads, kv_head = task % forward.kv_heads;
    if (forward.offsets[text] == forward.offsets[text + 1]) return;
    if (!(forward.dtype == DType::kBF16 ? GradientTask<Bfloat16Dot>(args, text, kv_head).run()
                                        : GradientTask<FloatDot>(args, text, kv_head).run()))
      __atomic_store_n(&out_of_memory, true, __ATOMIC_RELAXED);
  });
  return out_of_memory ? kOutOfMemory : kOk;
}

Status attention_bias_gradient(Stream& stream, const AttentionBiasGradientArgs& args) {
  if (!can_run(stream, args, supports)) return kBadArgument;
  const AttentionArgs& forward = args.forward;
  if (forward.longest == 0) return kOk;
  bool out_of_memory = false;
  run_tasks(stream, forward.heads, [&](int64_t head) {
    if (!(forward.dtype == DType::kBF16 ? add_bias_gradient<Bfloat16Dot>(args, head)
                                        : add_bias_gradient<FloatDot>(args, head)))
      __atomic_store_n(&out_of_memory, true, __ATOMIC_RELAXED);
  });
  return out_of_memory ? kOutOfMemory : kOk;
}

}  // namespace embedcore::cpu::EMBEDCORE_ISA
