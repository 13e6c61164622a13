// Attention on tensor cores for rows of 16 bits whose heads are aligned to 16 bytes. A warp owns 16 queries of one key
// head, a block of four warps 64; the queries of short texts leave room for two or four key heads in a block. Keys and
// values pass through shared memory in tiles that begin at fixed tokens of the text, with an online softmax: scores,
// weights and the output stay in registers.
//
// A row's result does not depend on the block that it is computed in: its tiles begin at multiples of kKeys, each sum
// has one order, and what a row does not see adds zeros or multiplies by one.
//
// Registers are what limits the blocks of a multiprocessor. So values that are needed rarely are computed again.
#pragma once

#include <type_traits>

#include "attention_tile.cuh"
#include "attention_work.cuh"

namespace embedcore::cuda {

// kDim: head_dim rounded up to 32, 64, 96, 128 or 256; the columns in between are zeros.
template <typename T, int kDim>
struct FlashKernel {
  static constexpr int kThreads = 128;
  // Shared memory has room for two blocks of 96 or 128 on sm_75.
  static constexpr int kMinBlocks = kDim <= 64 ? 4 : kDim <= 128 && kThisArch != Arch::kSm75 ? 3 : 2;
  static constexpr Arch kArch = std::is_same_v<T, bf16> ? Arch::kSm80 : Arch::kSm75;
  struct Args : AttendCall {
    int shift[kPlanClasses];  // of a class: log2 of the key heads that share a block
  };

  static constexpr int kRows = 64;                     // queries of a block
  static constexpr int kKeys = kDim <= 128 ? 64 : 32;  // of a tile
  static constexpr bool kKeepsRanges = kDim > 64;      // which keys a row sees, else computed for each tile
  using Tile = AttentionTile<kDim>;
  static constexpr bool kQueriesInShared = kDim > 128;  // registers do not hold them beside the sums
  static constexpr uint32_t kValues = kKeys * kDim * 2, kQueries = 2 * kValues;  // offsets; keys begin at 0
  static constexpr int kSharedBytes = kQueries + (kQueriesInShared ? kRows * kDim * 2 : 0);

  // Where the block, this warp and this lane are.
  struct Place {
    int begin;      // the text's first token in the batch
    int first;      // the item's first token in the text
    int kv_head;    // of this warp
    int shift;      // log2 of the key heads in this block; each has as many of the warps
    int end;        // last key that any row of the block sees
    int last;       // last key that any row of the warp sees, 0 if it has none
    int row, rows;  // first of the warp's rows in the item; rows of the item
    int prefix, length;
    Keys keys[2];  // of this lane's rows, if kKeepsRanges
  };
  struct State {
    uint32_t query[kQueriesInShared ? 1 : kDim / 16][4];
    float sum[kDim / 8][4];
    float top[2];    // greatest score so far
    float total[2];  // this lane's part of the sum of the weights
  };

  GPU static void run(const Args& args) {
    Work work;
    const bool found = find_work(args.share, work);
    wait_for_previous_kernel();
    allow_next_kernel();
    if (!found) return;
    Place at;
    int key = 0;
    if (!find_place(args, work, at, key)) return;
    load_tile(args, at, 0, args.heads, key);
    copy_async_commit();
    load_tile(args, at, kValues, args.heads + args.kv_heads, key);
    copy_async_commit();
    State state;
    if (at.last > 0) start(args, at, state);
    for (bool first = true; key < at.end; key += kKeys, first = false) {
      if (first) {
        copy_async_wait<1>();
        sync_block();
      } else {
        copy_async_wait<0>();
        sync_block();  // the keys are there, and nobody reads the values of the tile before
        load_tile(args, at, kValues, args.heads + args.kv_heads, key);
        copy_async_commit();
      }
      const bool seen = key < at.last;
      float score[kKeys / 8][4];
      if (seen) multiply_keys(at, state, score, at.last - key);
      copy_async_wait<0>();
      sync_block();  // the values are there, and nobody reads the keys of this tile any more
      if (key + kKeys < at.end) {
        load_tile(args, at, 0, args.heads, key + kKeys);
        copy_async_commit();
      }
      if (seen) add_values(args, at, state, score, key);
    }
    if (at.last > 0) finish(args, at, state);
  }

  // False if the block has no rows. `key`: where its first tile begins.
  GPU static bool find_place(const Args& args, const Work& work, Place& at, int& key) {
    at.begin = work.item.begin;
    at.first = work.item.first;
    at.rows = work.tokens * args.group;
    at.shift = args.shift[work.kind];
    const int tiles = ((kMostPlanTokens >> work.kind) * args.group + kRows - 1) / kRows;
    const int first_row = work.block % tiles * kRows;
    if (first_row >= at.rows) return false;
    const int prefix = args.mask == Mask::kPrefix ? uniform(args.prefix[work.item.text]) : 0;
    const auto keys = [&](int row) { return keys_of(args, prefix, token_at(args, at, row), work.item.length); };

    const int warp = uniform(thread_index() / 32), part = warp >> (2 - at.shift);
    at.kv_head = (work.block / tiles << at.shift) + part;
    at.row = first_row + (warp & ((4 >> at.shift) - 1)) * 16;
    at.end = keys(first_row + kRows - 1).last;
    at.last = at.kv_head < args.kv_heads && at.row < at.rows ? keys(at.row + 15).last : 0;
    key = keys(first_row).first / kKeys * kKeys;
    at.prefix = prefix, at.length = work.item.length;
    if constexpr (kKeepsRanges) {
      UNROLL
      for (int i = 0; i < 2; ++i) at.keys[i] = keys(row_of(at, i));
    }
    return true;
  }
  // The first slot of a tile for this warp's head.
  GPU static int slot_of(const Place& at) { return (thread_index() / 32 >> (2 - at.shift)) * (kKeys >> at.shift); }
  // Rows of this lane's fragments; those beyond the item are computed as its last one and not written.
  GPU static int row_of(const Place& at, int i) { return at.row + lane_index() / 4 + 8 * i; }
  GPU static int token_at(const Args& args, const Place& at, int row) {
    if (row >= at.rows) row = at.rows - 1;
    return at.first + token_of(args, row);
  }
  GPU static int head_at(const Args& args, const Place& at, int i) {
    const int row = row_of(at, i) < at.rows ? row_of(at, i) : at.rows - 1;
    return (at.kv_head - token_of(args, row)) * args.group + row;
  }

  GPU static Keys keys_at(const Args& args, const Place& at, int i) {
    if constexpr (kKeepsRanges) return at.keys[i];
    return keys_of(args, at.prefix, token_at(args, at, row_of(at, i)), at.length);
  }

  // The row of qkv of a token of the text.
  GPU static const T* row_at(const Args& args, const Place& at, int token) {
    return static_cast<const T*>(args.qkv) + (at.begin + token) * args.qkv_stride;
  }

  // The keys or values of the tile that begins at `key`, up to the next 16 after the last that is seen, zeros beyond
  // it. The warps of a key head load its rows. `head`: of key head 0 among all heads of a row.
  GPU static void load_tile(const Args& args, const Place& at, uint32_t to, int head, int key) {
    if (at.kv_head >= args.kv_heads) return;
    const int most = kKeys >> at.shift, left = (at.end - key + 15) & ~15, wanted = left < most ? left : most;
    const int threads = kThreads >> at.shift, thread = thread_index() & (threads - 1);
    const int chunk = thread % Tile::kChunks, step = threads / Tile::kChunks;
    int row = thread / Tile::kChunks;
    if (row >= step) return;
    const T* from = row_at(args, at, key + row) + (head + at.kv_head) * args.head_dim + chunk * 8;
    for (; row < wanted; row += step, from += step * args.qkv_stride) {
      const bool there = key + row < at.end && chunk * 8 < args.head_dim;
      copy_async16(to + Tile::chunk_at(slot_of(at) + row, chunk), there ? from : args.qkv, there ? 16 : 0);
    }
  }

  // The queries' fragments, and sums of nothing.
  GPU static void start(const Args& args, const Place& at, State& state) {
    const int t = lane_index() % 4;
    const T* query[2];
    UNROLL
    for (int i = 0; i < 2; ++i)
      query[i] = row_at(args, at, token_at(args, at, row_of(at, i))) + head_at(args, at, i) * args.head_dim;
    UNROLL
    for (int pair = 0; pair < kDim / 32; ++pair) {
      uint32_t fragment[2][4];
      UNROLL
      for (int i = 0; i < 2; ++i) {
        const int chunk = 4 * pair + t;
        Vector16 words{{0, 0, 0, 0}};
        if (chunk * 8 < args.head_dim) words = load16(query[i] + chunk * 8);
        transpose_quad(words.word);  // word t of the four chunks
        UNROLL
        for (int j = 0; j < 4; ++j) fragment[j / 2][j % 2 * 2 + i] = words.word[j];
      }
      UNROLL
      for (int half = 0; half < 2; ++half) {
        const int step = 2 * pair + half;
        if constexpr (kQueriesInShared) {
          store16(shared_at<void>(query_at(step)),
                  {{fragment[half][0], fragment[half][1], fragment[half][2], fragment[half][3]}});
        } else {
          UNROLL
          for (int r = 0; r < 4; ++r) state.query[step][r] = fragment[half][r];
        }
      }
    }
    UNROLL
    for (int n = 0; n < kDim / 8; ++n) {
      UNROLL
      for (float& value : state.sum[n]) value = 0.0f;
    }
    UNROLL
    for (int i = 0; i < 2; ++i) state.top[i] = kLowest, state.total[i] = 0.0f;
  }
  // Each lane keeps its own fragments.
  GPU static uint32_t query_at(int step) {
    return kQueries + static_cast<uint32_t>(step * kThreads + thread_index()) * 16;
  }

  // The products of queries and keys of a tile: of its first `limit` keys, rounded up to 16. Others have no weight.
  GPU static void multiply_keys(const Place& at, const State& state, float (&score)[kKeys / 8][4], int limit) {
    const int lane = lane_index();
    const typename Tile::Chunks chunks(slot_of(at) + lane % 8 + lane / 16 * 8, lane / 8 % 2);
    UNROLL
    for (int pair = 0; pair < kKeys / 16; ++pair) {
      float(&low)[4] = score[2 * pair];
      float(&high)[4] = score[2 * pair + 1];
      if (16 * pair < limit) {
        UNROLL
        for (int e = 0; e < 4; ++e) low[e] = high[e] = 0.0f;
        UNROLL
        for (int step = 0; step < kDim / 16; ++step) {
          uint32_t key[4], query[4];
          ldmatrix4(key, chunks.at(pair, step));
          load_query(state, step, query);
          mma_k16<T>(low, query, key[0], key[1]);
          mma_k16<T>(high, query, key[2], key[3]);
        }
      } else {
        UNROLL
        for (int e = 0; e < 4; ++e) low[e] = high[e] = kLowest;
      }
    }
  }
  GPU static void load_query(const State& state, int step, uint32_t (&query)[4]) {
    if constexpr (kQueriesInShared) {
      const Vector16 words = load16(shared_at<void>(query_at(step)));
      UNROLL
      for (int r = 0; r < 4; ++r) query[r] = words.word[r];
    } else {
      UNROLL
      for (int r = 0; r < 4; ++r) query[r] = state.query[step][r];
    }
  }

  // The weight is 2^(unit * score - base). A bias is in the scores; so is a scale that would turn the greatest score
  // into the least.
  GPU static bool scales_first(const Args& args) { return args.bias || !(args.scale > 0.0f); }
  GPU static float unit_of(const Args& args) { return scales_first(args) ? 1.0f : multiply(args.scale, kLog2E); }

  // Turns the scores into weights and adds the weighted values.
  GPU static void add_values(const Args& args, const Place& at, State& state, float (&score)[kKeys / 8][4], int key) {
    if (scales_first(args)) scale_scores(args, at, score, key);
    const float unit = unit_of(args);
    hide_scores(args, at, score, key);
    float factor[2], base[2], weights[2] = {0.0f, 0.0f};
    UNROLL
    for (int i = 0; i < 2; ++i) {
      float top = state.top[i];
      UNROLL
      for (int n = 0; n < kKeys / 8; ++n) top = maximum(maximum(score[n][2 * i], score[n][2 * i + 1]), top);
      top = maximum(top, shuffle_xor(top, 1));
      top = maximum(top, shuffle_xor(top, 2));
      base[i] = top == kLowest ? 0.0f : multiply(top, unit);  // a row that has seen no key yet
      factor[i] = fast_exp2(multiply(state.top[i], unit) - base[i]);
      state.top[i] = top;
    }
    if (ballot(factor[0] != 1.0f || factor[1] != 1.0f) != 0) {
      UNROLL
      for (int n = 0; n < kDim / 8; ++n) {
        UNROLL
        for (int e = 0; e < 4; ++e) state.sum[n][e] *= factor[e / 2];
      }
    }
    const int limit = at.last - key;
    const typename Tile::Chunks chunks(slot_of(at) + lane_index() % 16, lane_index() / 16);
    UNROLL
    for (int pair = 0; pair < kKeys / 16; ++pair) {
      if (16 * pair >= limit) continue;
      UNROLL
      for (int n = 2 * pair; n <= 2 * pair + 1; ++n) {
        UNROLL
        for (int e = 0; e < 4; ++e) {
          score[n][e] = fast_exp2(multiply_add(score[n][e], unit, -base[e / 2]));
          weights[e / 2] += score[n][e];
        }
      }
      const float(&low)[4] = score[2 * pair];
      const float(&high)[4] = score[2 * pair + 1];
      const uint32_t weight[4] = {pack2<T>(low[0], low[1]), pack2<T>(low[2], low[3]), pack2<T>(high[0], high[1]),
                                  pack2<T>(high[2], high[3])};
      UNROLL
      for (int n = 0; n < kDim / 16; ++n) {
        uint32_t value[4];
        ldmatrix4_transposed(value, kValues + chunks.at(pair, n));
        mma_k16<T>(state.sum[2 * n], weight, value[0], value[1]);
        mma_k16<T>(state.sum[2 * n + 1], weight, value[2], value[3]);
      }
    }
    UNROLL
    for (int i = 0; i < 2; ++i) state.total[i] = multiply_add(state.total[i], factor[i], weights[i]);
  }

  // Key of element e of score[n] in this lane.
  GPU static int key_of(int key, int n, int e) { return key + 8 * n + lane_index() % 4 * 2 + e % 2; }

  GPU static void scale_scores(const Args& args, const Place& at, float (&score)[kKeys / 8][4], int key) {
    const float unit = multiply(args.scale, kLog2E);
    UNROLL
    for (int i = 0; i < 2; ++i) {
      const float* bias = nullptr;  // of the text's first key
      if (args.bias)
        bias = args.bias + head_at(args, at, i) * (2 * args.bias_reach + 1) +
               (args.bias_reach - token_at(args, at, row_of(at, i)));
      UNROLL
      for (int n = 0; n < kKeys / 8; ++n) {
        UNROLL
        for (int e = 2 * i; e < 2 * i + 2; ++e) {
          const int j = key_of(key, n, e);
          const float added = args.bias && j < at.end ? multiply(load_cached(bias + j), kLog2E) : 0.0f;
          score[n][e] = multiply_add(score[n][e], unit, added);
        }
      }
    }
  }

  // Gives no weight to the keys that a row does not see.
  GPU static void hide_scores(const Args& args, const Place& at, float (&score)[kKeys / 8][4], int key) {
    UNROLL
    for (int i = 0; i < 2; ++i) {
      const Keys keys = keys_at(args, at, i);
      if (key >= keys.first && key + kKeys <= keys.last) continue;
      const auto seen = static_cast<uint32_t>(keys.last - keys.first);
      UNROLL
      for (int n = 0; n < kKeys / 8; ++n) {
        UNROLL
        for (int e = 2 * i; e < 2 * i + 2; ++e)
          if (static_cast<uint32_t>(key_of(key, n, e) - keys.first) >= seen) score[n][e] = kLowest;
      }
    }
  }

  GPU static void finish(const Args& args, const Place& at, const State& state) {
    float share[2];
    T* row[2];
    bool is_row[2];
    UNROLL
    for (int i = 0; i < 2; ++i) {
      float total = state.total[i];
      total += shuffle_xor(total, 1);
      total += shuffle_xor(total, 2);
      share[i] = 1.0f / total;
      const int64_t token = at.begin + token_at(args, at, row_of(at, i));
      const int head = head_at(args, at, i);
      is_row[i] = row_of(at, i) < at.rows;
      row[i] = static_cast<T*>(args.y) + token * args.y_stride + head * args.head_dim;
      if (args.lse && lane_index() % 4 == 0 && is_row[i])
        args.lse[head * static_cast<int64_t>(args.offsets[args.texts]) + token] =
            multiply_add(multiply(state.top[i], unit_of(args)), kLn2, exact_log(total));
    }
    UNROLL
    for (int pair = 0; pair < kDim / 32; ++pair) {
      UNROLL
      for (int i = 0; i < 2; ++i) {
        uint32_t word[4];
        UNROLL
        for (int j = 0; j < 4; ++j) {
          const float(&sum)[4] = state.sum[4 * pair + j];
          word[j] = pack2<T>(sum[2 * i] * share[i], sum[2 * i + 1] * share[i]);
        }
        transpose_quad(word);
        const int d = (4 * pair + lane_index() % 4) * 8;
        if (is_row[i] && d < args.head_dim) store16(row[i] + d, {{word[0], word[1], word[2], word[3]}});
      }
    }
  }
};

}  // namespace embedcore::cuda
