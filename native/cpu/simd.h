// One vector type for all instruction sets. Every source of this folder except dispatch.cc is compiled once for each
// instruction set that it differs in, with -DEMBEDCORE_ISA=<name> and that set's compiler flags (backend.h); only
// kWidth, the register tile and the dot products (dot.h) differ.
//
// The vectors are the compiler's own (GCC and Clang vector extensions), so a plain build uses SSE2 or NEON without
// further code. a * b + c is contracted to a fused multiply-add if the set has one (-ffp-contract=fast). Within one set
// every row of a result is computed by the same instructions, so results are identical to the last bit; between sets
// the last bits may differ.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <utility>

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#else
#include <algorithm>
#include <cmath>
#endif

#include "ops/backend.h"

#ifndef EMBEDCORE_ISA
#error "compile with -DEMBEDCORE_ISA=<instruction set>"
#endif

namespace embedcore::cpu::EMBEDCORE_ISA {

#if defined(__AVX512F__)
constexpr int kWidth = 16;        // 32-bit lanes in a vector
constexpr int kPanelVectors = 4;  // vectors across a register tile
#elif defined(__AVX2__)
constexpr int kWidth = 8;
constexpr int kPanelVectors = 2;
#else
constexpr int kWidth = 4;
constexpr int kPanelVectors = 2;
#endif
constexpr int kTileRows = 6;                    // rows down a register tile
constexpr int kPanel = kWidth * kPanelVectors;  // columns across it
constexpr int kVectorBytes = kWidth * static_cast<int>(sizeof(float));

constexpr int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t round_up(int64_t a, int64_t b) { return divide_up(a, b) * b; }

typedef float Vec __attribute__((vector_size(kVectorBytes)));
typedef int32_t IntVec __attribute__((vector_size(kVectorBytes)));
typedef uint32_t WordVec __attribute__((vector_size(kVectorBytes)));  // wraps around
typedef uint16_t HalfVec __attribute__((vector_size(kVectorBytes / 2)));
typedef uint8_t ByteVec __attribute__((vector_size(kVectorBytes / 4)));
typedef float UnalignedVec __attribute__((vector_size(kVectorBytes), aligned(1), may_alias));
typedef int32_t UnalignedIntVec __attribute__((vector_size(kVectorBytes), aligned(1), may_alias));
typedef uint16_t UnalignedHalfVec __attribute__((vector_size(kVectorBytes / 2), aligned(1), may_alias));
typedef int32_t Word
    __attribute__((aligned(1), may_alias));  // 32 bits of elements of any type that a matrix product multiplies

inline Vec broadcast(float value) { return Vec{} + value; }
inline IntVec broadcast(int32_t value) { return IntVec{} + value; }

// --- operations that the compiler's vectors lack or compile badly: one instruction where the set has it ---

// maximum, minimum: if one of the two is a NaN the result is b, so a value whose NaN must be kept is the second
// argument. widen, narrow: bfloat16 and float32; narrow rounds to nearest, ties to even, and keeps NaN. nearest:
// integers of |x| < 2^31, ties to even. to_bytes: clipped to 0 .. 255. square_root: correctly rounded.
#if defined(__AVX512F__)
inline Vec maximum(Vec a, Vec b) { return _mm512_max_ps(a, b); }
inline Vec minimum(Vec a, Vec b) { return _mm512_min_ps(a, b); }
inline Vec square_root(Vec x) { return _mm512_sqrt_ps(x); }
inline Vec widen(HalfVec value) {
  return reinterpret_cast<Vec>(_mm512_slli_epi32(_mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(value)), 16));
}
inline IntVec nearest(Vec x) { return reinterpret_cast<IntVec>(_mm512_cvtps_epi32(x)); }
inline ByteVec to_bytes(IntVec x) {
  return reinterpret_cast<ByteVec>(_mm512_cvtusepi32_epi8(_mm512_max_epi32(reinterpret_cast<__m512i>(x), __m512i{})));
}
#elif defined(__AVX2__)
inline Vec maximum(Vec a, Vec b) { return _mm256_max_ps(a, b); }
inline Vec minimum(Vec a, Vec b) { return _mm256_min_ps(a, b); }
inline Vec square_root(Vec x) { return _mm256_sqrt_ps(x); }
inline Vec widen(HalfVec value) {
  return reinterpret_cast<Vec>(_mm256_slli_epi32(_mm256_cvtepu16_epi32(reinterpret_cast<__m128i>(value)), 16));
}
inline IntVec nearest(Vec x) { return reinterpret_cast<IntVec>(_mm256_cvtps_epi32(x)); }
inline ByteVec to_bytes(IntVec x) {
  const __m128i shorts = _mm_packs_epi32(_mm256_castsi256_si128(reinterpret_cast<__m256i>(x)),
                                         _mm256_extracti128_si256(reinterpret_cast<__m256i>(x), 1));
  const int64_t bytes = _mm_cvtsi128_si64(_mm_packus_epi16(shorts, shorts));
  return std::bit_cast<ByteVec>(bytes);
}
#else
inline Vec maximum(Vec a, Vec b) { return a > b ? a : b; }
inline Vec minimum(Vec a, Vec b) { return a < b ? a : b; }
inline Vec square_root(Vec x) {
#if defined(__SSE2__)
  return _mm_sqrt_ps(x);
#else
  for (int i = 0; i < kWidth; ++i) x[i] = std::sqrt(x[i]);
  return x;
#endif
}
inline Vec widen(HalfVec value) { return reinterpret_cast<Vec>(__builtin_convertvector(value, IntVec) << 16); }
inline IntVec nearest(Vec x) {
#if defined(__SSE2__)
  return reinterpret_cast<IntVec>(_mm_cvtps_epi32(x));
#else
  IntVec result;
  for (int i = 0; i < kWidth; ++i)
    result[i] = static_cast<int32_t>(std::nearbyint(std::min(std::max(x[i], -2e9f), 2e9f)));
  return result;
#endif
}
inline ByteVec to_bytes(IntVec x) {
  x = x < 0 ? broadcast(0) : x;
  return __builtin_convertvector(x > 255 ? broadcast(255) : x, ByteVec);
}
#endif

// The same without any instruction that takes values below the smallest normal one for zero.
inline HalfVec narrow_kept(Vec value) {
  const WordVec bits = reinterpret_cast<WordVec>(value);
  const WordVec rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  return __builtin_convertvector(value == value ? rounded : (bits >> 16 | 0x40), HalfVec);
}
inline HalfVec narrow(Vec value) {
#if defined(__AVX512BF16__)
  return reinterpret_cast<HalfVec>(_mm512_cvtneps_pbh(value));  // values below the smallest normal one become zero
#else
  return narrow_kept(value);
#endif
}

inline IntVec bits_of(Vec x) { return reinterpret_cast<IntVec>(x); }
// Whether any bit of x is set.
inline bool any_bit(IntVec x) {
#if defined(__AVX512F__)
  return _mm512_test_epi32_mask(reinterpret_cast<__m512i>(x), reinterpret_cast<__m512i>(x)) != 0;
#elif defined(__AVX2__)
  return !_mm256_testz_si256(reinterpret_cast<__m256i>(x), reinterpret_cast<__m256i>(x));
#else
  uint64_t pairs[2];
  std::memcpy(pairs, &x, sizeof pairs);
  return (pairs[0] | pairs[1]) != 0;
#endif
}

// --- rows of float32 and of bfloat16 (as uint16_t) ---

inline Vec load(const float* from) { return *reinterpret_cast<const UnalignedVec*>(from); }
inline void store(float* to, Vec value) { *reinterpret_cast<UnalignedVec*>(to) = value; }
inline IntVec load_words(const Word* from) { return *reinterpret_cast<const UnalignedIntVec*>(from); }
inline void store_words(Word* to, IntVec value) { *reinterpret_cast<UnalignedIntVec*>(to) = value; }

inline Vec load(const uint16_t* from) { return widen(*reinterpret_cast<const UnalignedHalfVec*>(from)); }
inline void store(uint16_t* to, Vec value) { *reinterpret_cast<UnalignedHalfVec*>(to) = narrow(value); }

// The first n < kWidth elements, none if n is negative; the rest is filled, or is not written.
#if defined(__AVX512F__)
inline __mmask16 first_lanes(int64_t n) { return static_cast<__mmask16>(n > 0 ? (1u << n) - 1 : 0); }
inline Vec load_part(const float* from, int64_t n, float fill = 0.0f) {
  return _mm512_mask_loadu_ps(broadcast(fill), first_lanes(n), from);
}
inline Vec load_part(const uint16_t* from, int64_t n) {
  return widen(reinterpret_cast<HalfVec>(_mm256_maskz_loadu_epi16(first_lanes(n), from)));
}
inline void store_part(float* to, Vec value, int64_t n) { _mm512_mask_storeu_ps(to, first_lanes(n), value); }
inline void store_part(uint16_t* to, Vec value, int64_t n) {
  _mm256_mask_storeu_epi16(to, first_lanes(n), reinterpret_cast<__m256i>(narrow(value)));
}
#else
#if defined(__AVX2__)
inline IntVec first_lanes(int64_t n) { return IntVec{0, 1, 2, 3, 4, 5, 6, 7} < static_cast<int32_t>(n); }
inline Vec load_part(const float* from, int64_t n, float fill = 0.0f) {
  const IntVec lanes = first_lanes(n);
  return lanes ? Vec(_mm256_maskload_ps(from, reinterpret_cast<__m256i>(lanes))) : broadcast(fill);
}
inline void store_part(float* to, Vec value, int64_t n) {
  _mm256_maskstore_ps(to, reinterpret_cast<__m256i>(first_lanes(n)), value);
}
#else
inline Vec load_part(const float* from, int64_t n, float fill = 0.0f) {
  float lanes[kWidth];
  for (int i = 0; i < kWidth; ++i) lanes[i] = i < n ? from[i] : fill;
  return load(lanes);
}
inline void store_part(float* to, Vec value, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i] = value[i];
}
#endif
inline Vec load_part(const uint16_t* from, int64_t n) {
  uint16_t lanes[kWidth];
  for (int i = 0; i < kWidth; ++i) lanes[i] = i < n ? from[i] : uint16_t{0};
  return load(lanes);
}
inline void store_part(uint16_t* to, Vec value, int64_t n) {
  const HalfVec halves = narrow(value);
  for (int64_t i = 0; i < n; ++i) to[i] = halves[i];
}
#endif

// Stores n elements, at most a whole vector.
template <typename Element>
Vec load_upto(const Element* from, int64_t n) {
  return n >= kWidth ? load(from) : load_part(from, n);
}
template <typename Element>
void store_upto(Element* to, Vec value, int64_t n) {
  if (n >= kWidth)
    store(to, value);
  else
    store_part(to, value, n);
}

// --- doubles, half as many to a vector ---

typedef double DoubleVec __attribute__((vector_size(kVectorBytes)));

inline DoubleVec load_doubles(const float* from) {
#if defined(__AVX512F__)
  return _mm512_cvtps_pd(_mm256_loadu_ps(from));  // the compiler's own conversion goes through two halves
#else
  typedef float Half __attribute__((vector_size(kVectorBytes / 2), aligned(1), may_alias));
  return __builtin_convertvector(*reinterpret_cast<const Half*>(from), DoubleVec);
#endif
}

// --- lanes ---

// Adds the upper half of the lanes to the lower half, repeatedly, so the order is fixed.
template <typename Vector, typename Join, int... kLane>
auto fold_halves(Vector value, Join join, std::integer_sequence<int, kLane...>) {
  constexpr int kHalf = sizeof...(kLane);
  if constexpr (kHalf == 1) {
    return join(value[0], value[1]);
  } else {
    const auto low = __builtin_shufflevector(value, value, kLane...),
               high = __builtin_shufflevector(value, value, (kLane + kHalf)...);
    return fold_halves(join(low, high), join, std::make_integer_sequence<int, kHalf / 2>());
  }
}
inline float sum_lanes(Vec value) {
  return fold_halves(
      value, [](auto a, auto b) { return a + b; }, std::make_integer_sequence<int, kWidth / 2>());
}
inline float max_lanes(Vec value) {
  return fold_halves(
      value, [](auto a, auto b) { return a > b ? a : b; }, std::make_integer_sequence<int, kWidth / 2>());
}
inline float min_lanes(Vec value) {
  return fold_halves(
      value, [](auto a, auto b) { return a < b ? a : b; }, std::make_integer_sequence<int, kWidth / 2>());
}

// kWidth vectors of kWidth words, transposed: log2(kWidth) rounds in which row i and row i + kWidth / 2 are zipped into
// rows 2i and 2i + 1.
template <int... kLane>
void transpose_words(IntVec (&rows)[kWidth], std::integer_sequence<int, kLane...>) {
  constexpr int kHalf = kWidth / 2;
  for (int round = 1; round < kWidth; round *= 2) {
    IntVec next[kWidth];
#pragma GCC unroll 16
    for (int i = 0; i < kHalf; ++i) {
      next[2 * i] = __builtin_shufflevector(rows[i], rows[i + kHalf], (kLane / 2 + kLane % 2 * kWidth)...);
      next[2 * i + 1] = __builtin_shufflevector(rows[i], rows[i + kHalf], (kHalf + kLane / 2 + kLane % 2 * kWidth)...);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kWidth; ++i) rows[i] = next[i];
  }
}
inline void transpose_words(IntVec (&rows)[kWidth]) {
  transpose_words(rows, std::make_integer_sequence<int, kWidth>());
}

// Calls body(task) for each task through the stream's team.
template <typename Body>
void run_tasks(Stream& stream, int64_t tasks, Body&& body) {
  if (tasks <= 0) return;
  if (tasks == 1) {
    body(0);
    return;
  }
  stream.parallel(
      stream.team, tasks, [](void* arg, int64_t task) { (*static_cast<Body*>(arg))(task); },
      const_cast<void*>(static_cast<const void*>(&body)));
}

}  // namespace embedcore::cpu::EMBEDCORE_ISA
