// The numbers of ops/dropout.h, several counters at a time: a lane of 64 bits holds a word of one counter. Multiplying
// reads the lower half of a lane only, so the upper halves may hold anything until the end.
#pragma once

#include "cpu/simd.h"
#include "ops/dropout.h"

namespace embedcore::cpu::EMBEDCORE_ISA {

typedef uint64_t LaneVec __attribute__((vector_size(kVectorBytes)));
typedef uint64_t UnalignedLaneVec __attribute__((vector_size(kVectorBytes), aligned(1), may_alias));
constexpr int kCounters = kVectorBytes / 8;        // in a vector
constexpr int64_t kCounterNumbers = 8;             // of a counter
constexpr int64_t kNumbersAtOnce = kCounters * 8;  // of a vector of counters

// The products of the lanes' lower halves.
inline LaneVec multiply_low(LaneVec a, uint32_t b) {
#if defined(__AVX512F__)
  return reinterpret_cast<LaneVec>(_mm512_mul_epu32(reinterpret_cast<__m512i>(a), _mm512_set1_epi64(b)));
#elif defined(__AVX2__)
  return reinterpret_cast<LaneVec>(_mm256_mul_epu32(reinterpret_cast<__m256i>(a), _mm256_set1_epi64x(b)));
#elif defined(__SSE2__)
  return reinterpret_cast<LaneVec>(_mm_mul_epu32(reinterpret_cast<__m128i>(a), _mm_set1_epi64x(b)));
#else
  return (a & 0xffffffff) * uint64_t{b};
#endif
}

// Writes the lanes of a and b in turn.
template <int... kLane>
void write_in_turn(LaneVec a, LaneVec b, uint16_t* to, std::integer_sequence<int, kLane...>) {
  constexpr int kHalf = kCounters / 2;
  auto* bytes = reinterpret_cast<uint8_t*>(to);
  *reinterpret_cast<UnalignedLaneVec*>(bytes) = __builtin_shufflevector(a, b, (kLane / 2 + kLane % 2 * kCounters)...);
  *reinterpret_cast<UnalignedLaneVec*>(bytes + kVectorBytes) =
      __builtin_shufflevector(a, b, (kHalf + kLane / 2 + kLane % 2 * kCounters)...);
}

// The numbers of kCounters counters (block, token, text, site), one counter after the other.
inline void write_numbers(LaneVec block, LaneVec token, LaneVec text, const Dropout& dropout, uint16_t* to) {
  LaneVec c0 = block, c1 = token, c2 = text, c3 = LaneVec{} + dropout.site;
  uint32_t low = static_cast<uint32_t>(dropout.seed), high = static_cast<uint32_t>(dropout.seed >> 32);
#pragma GCC unroll 10
  for (int round = 0; round < 10; ++round) {
    const LaneVec a = multiply_low(c0, 0xD2511F53u), b = multiply_low(c2, 0xCD9E8D57u);
    c0 = (b >> 32) ^ c1 ^ (LaneVec{} + low);
    c1 = b;
    c2 = (a >> 32) ^ c3 ^ (LaneVec{} + high);
    c3 = a;
    low += 0x9E3779B9u;
    high += 0xBB67AE85u;
  }
  const LaneVec lower = LaneVec{} + 0xffffffffu;
  write_in_turn((c0 & lower) | (c1 << 32), (c2 & lower) | (c3 << 32), to, std::make_integer_sequence<int, kCounters>());
}

// to [rows][columns rounded up to 8]: the numbers of columns column .. column + columns of `rows` rows. column is a
// multiple of 8. `to` has room for the numbers rounded up to kNumbersAtOnce.
inline void dropout_numbers(const Dropout& dropout, const RowKey* keys, int64_t rows, int64_t column, int64_t columns,
                            uint16_t* to) {
  const auto word = [](int32_t value) { return uint64_t{static_cast<uint32_t>(value)}; };
  const auto first = static_cast<uint64_t>(column / kCounterNumbers);
  const int64_t blocks = divide_up(columns, kCounterNumbers);
  if (rows == 1 || blocks % kCounters == 0) {
    LaneVec ascending;
    for (int i = 0; i < kCounters; ++i) ascending[i] = first + static_cast<uint64_t>(i);
    for (int64_t r = 0; r < rows; ++r) {
      LaneVec block = ascending;
      for (int64_t b = 0; b < blocks; b += kCounters, block += kCounters)
        write_numbers(block, LaneVec{} + word(keys[r].token), LaneVec{} + word(keys[r].text), dropout,
                      to + (r * blocks + b) * kCounterNumbers);
    }
    return;
  }
  // Narrow pieces of several rows share a vector.
  LaneVec block = {}, token = {}, text = {};
  int64_t r = 0, b = 0;
  for (int64_t i = 0; i < rows * blocks; i += kCounters) {
    for (int lane = 0; lane < kCounters && r < rows; ++lane) {
      block[lane] = first + static_cast<uint64_t>(b);
      token[lane] = word(keys[r].token);
      text[lane] = word(keys[r].text);
      if (++b == blocks) ++r, b = 0;
    }
    write_numbers(block, token, text, dropout, to + i * kCounterNumbers);
  }
}

// x times the factor where its number is at least the threshold, otherwise 0.
struct Dropped {
  explicit Dropped(const Dropout& dropout)
      : threshold(broadcast(static_cast<int32_t>(dropout_threshold(dropout.rate)))),
        factor(broadcast(dropout_factor(dropout.rate))) {}
  Vec operator()(Vec x, const uint16_t* numbers) const {
    const IntVec number = __builtin_convertvector(*reinterpret_cast<const UnalignedHalfVec*>(numbers), IntVec);
    return number >= threshold ? x * factor : Vec{};
  }
  IntVec threshold;
  Vec factor;
};

}  // namespace embedcore::cpu::EMBEDCORE_ISA
