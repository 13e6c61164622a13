// Dropout from a counter-based generator, Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
// 2011). An element is named by its text, token and column, not by its place in a call. So every backend, thread count,
// micro-batch and process draws the same mask, and a recomputed layer draws it again.
//
// Element c of a row whose key is (text, token):
//   counter = (c / 8, token, text, site), key = (low, high word of seed)
//   The four words of the result are eight numbers of 16 bits; number n = c % 8 is the low half of word n / 2 where n
//   is even, its high half where n is odd. So they are what a little-endian machine reads from the words in memory.
//   The element is kept if its number is at least threshold = round(65536 rate); y = x * factor in float32, factor =
//   65536 / (65536 - threshold), otherwise y = 0, whatever x is.
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "ops/backend.h"

namespace embedcore {

// Of one row: the number of its text in the whole batch of a step, and of its token in the text.
struct RowKey {
  int32_t text = 0, token = 0;
};

constexpr float kMostDropout = 65535.0f / 65536.0f;

struct Dropout {
  float rate = 0;                // 0 = none; at most kMostDropout
  uint64_t seed = 0;             // of the run and the step
  uint32_t site = 0;             // which dropout of the model; attention uses site + head
  const RowKey* rows = nullptr;  // [rows of the call]; attention: [tokens]
};

// y = dropout(x), x and y [rows, width], both of dtype. y may be x. The backward pass is the same operation on dy.
struct DropoutArgs {
  const void* x = nullptr;
  int64_t x_stride = 0;
  void* y = nullptr;
  int64_t y_stride = 0;
  int64_t rows = 0, width = 0;
  DType dtype = DType::kF32;
  Dropout dropout{};
};

static inline uint32_t dropout_threshold(float rate) { return static_cast<uint32_t>(rate * 65536.0f + 0.5f); }
static inline float dropout_factor(float rate) {
  return 65536.0f / static_cast<float>(65536u - dropout_threshold(rate));
}

struct PhiloxWords {
  uint32_t word[4];
};

// The generator as its authors define it. Backends may compute many counters at once.
static inline PhiloxWords philox(PhiloxWords counter, uint64_t seed) {
  uint32_t low = static_cast<uint32_t>(seed), high = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53u} * counter.word[0], b = uint64_t{0xCD9E8D57u} * counter.word[2];
    counter = {{static_cast<uint32_t>(b >> 32) ^ counter.word[1] ^ low, static_cast<uint32_t>(b),
                static_cast<uint32_t>(a >> 32) ^ counter.word[3] ^ high, static_cast<uint32_t>(a)}};
    low += 0x9E3779B9u;
    high += 0xBB67AE85u;
  }
  return counter;
}

// The number of column c, of the words of its counter.
static inline uint32_t dropout_number(const PhiloxWords& words, int64_t c) {
  return words.word[c % 8 / 2] >> (c % 2 * 16) & 0xffff;
}

}  // namespace embedcore
