// Norms and rotation of the query and key heads, in place: a group of lanes takes a row of a head.
#pragma once

#include "attention_work.cuh"

namespace embedcore::cuda {

// kWidth: elements of an access, 1 or as many as 16 bytes hold.
template <typename T, int kWidth>
struct PrepareKernel {
  static constexpr int kThreads = 256;
  static constexpr int kMinBlocks = 1;
  static constexpr Arch kArch = Arch::kAny;
  static constexpr int kPasses = 4;  // rows that a group of lanes takes in turn

  struct Args {
    void* qkv;
    const float *cosine, *sine;  // null: no rotation
    const float *q_norm, *k_norm;
    int64_t stride;
    int head_dim, half;  // half: of the rotated columns; 0 = none
    int query_heads, first_head, heads;
    int lanes;  // of a group, a power of two
    float epsilon;
    PlanShare share;
  };

  static int rows(int lanes) { return kPasses * kThreads / lanes; }

  GPU static void run(const Args& args) {
    Work work;
    const bool found = find_work(args.share, work);
    wait_for_previous_kernel();
    allow_next_kernel();
    if (!found) return;
    const int groups = kThreads / args.lanes, rows = work.tokens * args.heads;
    for (int pass = 0; pass < kPasses; ++pass) {
      const int row = (work.block * kPasses + pass) * groups + thread_index() / args.lanes;
      const bool has_row = row < rows;
      const int token = work.item.first + row / args.heads, head = args.first_head + row % args.heads;
      T* const x = static_cast<T*>(args.qkv) + (work.item.begin + static_cast<int64_t>(token)) * args.stride +
                   static_cast<int64_t>(head) * args.head_dim;
      prepare(args, x, token, head < args.query_heads ? args.q_norm : args.k_norm, has_row);
    }
  }

  // Calls visit(d, paired) for the accesses of this lane: columns d .. d + kWidth - 1, and those `half` further on if
  // they are paired. Both kinds of accesses are in one order whichever row it is.
  template <typename Visit>
  GPU static void each_access(const Args& args, Visit visit) {
    const int pairs = args.half / kWidth, accesses = args.head_dim / kWidth - pairs;
    for (int i = thread_index() % args.lanes; i < accesses; i += args.lanes)
      visit(i < pairs ? i * kWidth : (i + pairs) * kWidth, i < pairs);
  }

  GPU static void prepare(const Args& args, T* x, int token, const float* weight, bool has_row) {
    float scale = 1.0f;
    if (args.q_norm || args.k_norm) {  // all lanes together, because rows of q and k may be in one warp
      float squares = 0.0f;
      if (weight && has_row)
        each_access(args, [&](int d, bool paired) {
          float value[kWidth];
          load(x + d, value);
          add_squares(value, squares);
          if (!paired) return;
          load(x + d + args.half, value);
          add_squares(value, squares);
        });
      for (int step = 1; step < args.lanes; step *= 2) squares += shuffle_xor(squares, step);
      if (weight) scale = 1.0f / exact_sqrt(squares / static_cast<float>(args.head_dim) + args.epsilon);
    }
    if (!has_row) return;
    each_access(args, [&](int d, bool paired) {
      float low[kWidth], high[kWidth];
      load(x + d, low);
      if (weight) weigh(low, scale, weight + d);
      if (paired) {
        load(x + d + args.half, high);
        if (weight) weigh(high, scale, weight + d + args.half);
        rotate(low, high, args.cosine + static_cast<int64_t>(token) * args.half + d,
               args.sine + static_cast<int64_t>(token) * args.half + d);
        store(x + d + args.half, high);
      }
      store(x + d, low);
    });
  }

  GPU static void add_squares(const float (&value)[kWidth], float& squares) {
    UNROLL
    for (const float each : value) squares = multiply_add(each, each, squares);
  }
  GPU static void weigh(float (&value)[kWidth], float scale, const float* weight) {
    UNROLL
    for (int i = 0; i < kWidth; ++i) value[i] = multiply(multiply(value[i], scale), load_cached(weight + i));
  }
  GPU static void rotate(float (&low)[kWidth], float (&high)[kWidth], const float* cosine, const float* sine) {
    UNROLL
    for (int i = 0; i < kWidth; ++i) {
      const float c = load_cached(cosine + i), s = load_cached(sine + i), a = low[i], b = high[i];
      low[i] = multiply_add(a, c, -multiply(b, s));
      high[i] = multiply_add(b, c, multiply(a, s));
    }
  }

  GPU static void load(const T* from, float (&value)[kWidth]) {
    if constexpr (kWidth == 1) {
      value[0] = to_float(*from);
    } else {
      const Vector16 words = load16(from);
      UNROLL
      for (int i = 0; i < 4; ++i) {
        if constexpr (sizeof(T) == 4)
          value[i] = __builtin_bit_cast(float, words.word[i]);
        else
          unpack2<T>(words.word[i], value[2 * i], value[2 * i + 1]);
      }
    }
  }
  GPU static void store(T* to, const float (&value)[kWidth]) {
    if constexpr (kWidth == 1) {
      *to = from_float<T>(value[0]);
    } else {
      Vector16 words;
      UNROLL
      for (int i = 0; i < 4; ++i) {
        if constexpr (sizeof(T) == 4)
          words.word[i] = __builtin_bit_cast(uint32_t, value[i]);
        else
          words.word[i] = pack2<T>(value[2 * i], value[2 * i + 1]);
      }
      store16(to, words);
    }
  }
};

}  // namespace embedcore::cuda
