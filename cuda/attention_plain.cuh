// Attention without tensor cores: float32 rows, heads that are wider than the tensor-core kernels take or not aligned.
// A block takes 64 queries of one key head and up to 128 columns of the values, through tiles of 64 keys with an online
// softmax. Everything is float32 in shared memory; sums go element by element in order.
#pragma once

#include "attention_work.cuh"

namespace embedcore::cuda {

template <typename T>
struct PlainKernel {
  static constexpr int kThreads = 256;
  static constexpr int kMinBlocks = 2;
  static constexpr Arch kArch = Arch::kAny;
  using Args = AttendCall;

  static constexpr int kRows = 64, kKeys = 64;
  static constexpr int kColumns = 128;  // of the values, for one block; the grid's y counts such slices
  static constexpr int kDepth = 32;     // columns of q and k that are in shared memory at a time
  static constexpr int kDeep = 32;      // keys whose values are in shared memory at a time
  // Thread (tx, ty) of 16 x 16 has rows ty + 16 i, keys tx + 16 j, and columns 4 tx + 64 h .. 4 tx + 64 h + 3.
  static constexpr int kGrid = 16, kTile = 4, kHalves = 2;
  // Floats of a row in shared memory: a multiple of four that spreads rows over the banks.
  static constexpr int kInStride = kDepth + 4, kWeightStride = kKeys + 4, kValueStride = kColumns + 4;
  static constexpr uint32_t kKeysAt = kRows * kInStride * 4, kValuesAt = 0;  // values replace queries and keys
  static constexpr uint32_t kWeightsAt = kKeysAt + kKeys * kInStride * 4;
  static constexpr int kSharedBytes = kWeightsAt + kRows * kWeightStride * 4;
  static_assert(kDeep * kValueStride * 4 <= kWeightsAt);

  struct alignas(16) Four {
    float value[4];
  };
  struct Place {
    Work work;
    const T* qkv;  // row of the text's first token
    int prefix, kv_head, first_row, rows;
    int column, columns;  // of the values
  };

  GPU static void run(const Args& args) {
    Place at;
    const bool found = find_work(args.share, at.work);
    wait_for_previous_kernel();
    allow_next_kernel();
    if (!found) return;
    const int tiles = ((kMostPlanTokens >> at.work.kind) * args.group + kRows - 1) / kRows;
    at.kv_head = at.work.block / tiles;
    at.first_row = at.work.block % tiles * kRows;
    at.rows = at.work.tokens * args.group - at.first_row;
    if (at.rows <= 0) return;
    if (at.rows > kRows) at.rows = kRows;
    at.qkv = static_cast<const T*>(args.qkv) + at.work.item.begin * args.qkv_stride;
    at.prefix = args.mask == Mask::kPrefix ? args.prefix[at.work.item.text] : 0;
    at.column = static_cast<int>(block_index_y()) * kColumns;
    at.columns = args.head_dim - at.column < kColumns ? args.head_dim - at.column : kColumns;
    attend(args, at);
  }

  struct Query {
    int token, head;
  };
  GPU static Query query_at(const Args& args, const Place& at, int row) {
    const int number = at.first_row + (row < at.rows ? row : at.rows - 1), token = token_of(args, number);
    return {at.work.item.first + token, at.kv_head * args.group + number - token * args.group};
  }
  GPU static Keys keys_at(const Args& args, const Place& at, int row) {
    return keys_of(args, at.prefix, query_at(args, at, row).token, at.work.item.length);
  }

  GPU static void attend(const Args& args, const Place& at) {
    const int tx = thread_index() % kGrid, ty = thread_index() / kGrid;
    Keys keys[kTile];
    float top[kTile], total[kTile], sum[kTile][4 * kHalves];
    UNROLL
    for (int i = 0; i < kTile; ++i) {
      keys[i] = keys_at(args, at, ty + kGrid * i);
      top[i] = kLowest;
      total[i] = 0.0f;
      UNROLL
      for (float& value : sum[i]) value = 0.0f;
    }
    const int end = keys_at(args, at, kRows - 1).last;
    for (int key = keys_at(args, at, 0).first / kKeys * kKeys; key < end; key += kKeys) {
      const int wanted = end - key < kKeys ? end - key : kKeys;
      float score[kTile][kTile];
      multiply_keys(args, at, key, wanted, score);
      UNROLL
      for (int i = 0; i < kTile; ++i) {
        const Query query = query_at(args, at, ty + kGrid * i);
        float greatest = top[i];
        UNROLL
        for (int j = 0; j < kTile; ++j) {
          const int k = key + tx + kGrid * j;
          if (k >= keys[i].first && k < keys[i].last) {
            score[i][j] = multiply(score[i][j], args.scale);
            if (args.bias)
              score[i][j] +=
                  load_cached(args.bias + query.head * (2 * args.bias_reach + 1) + args.bias_reach + (k - query.token));
          } else {
            score[i][j] = kLowest;
          }
          greatest = maximum(greatest, score[i][j]);
        }
        UNROLL
        for (int step = 1; step < kGrid; step *= 2) greatest = maximum(greatest, shuffle_xor(greatest, step));
        const float base = greatest == kLowest ? 0.0f : greatest;  // of a row that has seen no key yet
        const float factor = exact_exp(top[i] - base);
        top[i] = greatest;
        float weights = 0.0f;
        UNROLL
        for (int j = 0; j < kTile; ++j) {
          const float weight = exact_exp(score[i][j] - base);
          weights += weight;
          *shared_at<float>(kWeightsAt + static_cast<uint32_t>((ty + kGrid * i) * kWeightStride + tx + kGrid * j) * 4) =
              weight;
        }
        total[i] = multiply_add(total[i], factor, weights);
        UNROLL
        for (float& value : sum[i]) value *= factor;
      }
      add_values(args, at, key, wanted, sum);
    }
    finish(args, at, top, total, sum);
  }

  // score[i][j] = q . k of the thread's rows and of the keys of the tile; zeros for keys beyond `wanted`.
  GPU static void multiply_keys(const Args& args, const Place& at, int key, int wanted, float (&score)[kTile][kTile]) {
    const int tx = thread_index() % kGrid, ty = thread_index() / kGrid;
    UNROLL
    for (int i = 0; i < kTile; ++i) {
      UNROLL
      for (float& value : score[i]) value = 0.0f;
    }
    for (int first = 0; first < args.head_dim; first += kDepth) {
      sync_block();  // nobody reads what is overwritten
      for (int index = thread_index(); index < (kRows + kKeys) * kDepth; index += kThreads) {
        const int slot = index / kDepth, d = first + index % kDepth;
        const bool is_query = slot < kRows;
        const int number = is_query ? slot : slot - kRows;
        float value = 0.0f;
        if (d < args.head_dim && number < (is_query ? at.rows : wanted)) {
          const Query query = query_at(args, at, number);
          const int token = is_query ? query.token : key + number,
                    head = is_query ? query.head : args.heads + at.kv_head;
          value = to_float(at.qkv[token * args.qkv_stride + head * args.head_dim + d]);
        }
        *shared_at<float>(static_cast<uint32_t>(slot * kInStride + index % kDepth) * 4) = value;
      }
      sync_block();
      const int depth = args.head_dim - first < kDepth ? args.head_dim - first : kDepth;
      for (int d = 0; d < depth; d += 4) {
        Four q[kTile];
        UNROLL
        for (int i = 0; i < kTile; ++i)
          if (kGrid * i < at.rows) q[i] = *shared_at<Four>(static_cast<uint32_t>((ty + kGrid * i) * kInStride + d) * 4);
        UNROLL
        for (int j = 0; j < kTile; ++j) {
          if (kGrid * j >= wanted) continue;
          const Four k = *shared_at<Four>(kKeysAt + static_cast<uint32_t>((tx + kGrid * j) * kInStride + d) * 4);
          UNROLL
          for (int i = 0; i < kTile; ++i) {
            if (kGrid * i >= at.rows) continue;
            UNROLL
            for (int e = 0; e < 4; ++e) score[i][j] = multiply_add(q[i].value[e], k.value[e], score[i][j]);
          }
        }
      }
    }
  }

  GPU static void add_values(const Args& args, const Place& at, int key, int wanted, float (&sum)[kTile][4 * kHalves]) {
    const int tx = thread_index() % kGrid, ty = thread_index() / kGrid;
    const int head = args.heads + args.kv_heads + at.kv_head;
    for (int first = 0; first < wanted; first += kDeep) {
      sync_block();  // the weights are there; nobody reads what is overwritten
      const int deep = wanted - first < kDeep ? wanted - first : kDeep;
      for (int index = thread_index(); index < (deep + 3) / 4 * 4 * kColumns; index += kThreads) {
        const int k = index / kColumns, d = index % kColumns;
        const float value =
            k < deep && d < at.columns
                ? to_float(at.qkv[(key + first + k) * args.qkv_stride + head * args.head_dim + at.column + d])
                : 0.0f;
        *shared_at<float>(kValuesAt + static_cast<uint32_t>(k * kValueStride + d) * 4) = value;
      }
      sync_block();
      for (int k = 0; k < deep; k += 4) {
        Four weight[kTile];
        UNROLL
        for (int i = 0; i < kTile; ++i)
          if (kGrid * i < at.rows)
            weight[i] =
                *shared_at<Four>(kWeightsAt + static_cast<uint32_t>((ty + kGrid * i) * kWeightStride + first + k) * 4);
        UNROLL
        for (int e = 0; e < 4; ++e) {
          UNROLL
          for (int h = 0; h < kHalves; ++h) {
            if (64 * h >= at.columns) continue;
            const Four value =
                *shared_at<Four>(kValuesAt + static_cast<uint32_t>((k + e) * kValueStride + 4 * tx + 64 * h) * 4);
            UNROLL
            for (int i = 0; i < kTile; ++i) {
              if (kGrid * i >= at.rows) continue;
              UNROLL
              for (int c = 0; c < 4; ++c)
                sum[i][4 * h + c] = multiply_add(weight[i].value[e], value.value[c], sum[i][4 * h + c]);
            }
          }
        }
      }
    }
  }

  GPU static void finish(const Args& args, const Place& at, const float (&top)[kTile], float (&total)[kTile],
                         const float (&sum)[kTile][4 * kHalves]) {
    const int tx = thread_index() % kGrid, ty = thread_index() / kGrid;
    UNROLL
    for (int i = 0; i < kTile; ++i) {
      UNROLL
      for (int step = 1; step < kGrid; step *= 2) total[i] += shuffle_xor(total[i], step);
      const int row = ty + kGrid * i;
      if (row >= at.rows) continue;
      const Query query = query_at(args, at, row);
      const int64_t token = at.work.item.begin + query.token;
      if (args.lse && tx == 0 && at.column == 0)
        args.lse[query.head * static_cast<int64_t>(args.offsets[args.texts]) + token] = top[i] + exact_log(total[i]);
      T* y = static_cast<T*>(args.y) + token * args.y_stride + query.head * args.head_dim + at.column;
      UNROLL
      for (int h = 0; h < kHalves; ++h) {
        UNROLL
        for (int c = 0; c < 4; ++c) {
          const int d = 4 * tx + 64 * h + c;
          if (d < at.columns) y[d] = from_float<T>(sum[i][4 * h + c] / total[i]);
        }
      }
    }
  }
};

}  // namespace embedcore::cuda
