// The inner step of a matrix product, by the dtype of its operands. In memory the operands are words of 32 bits (one
// float, two bfloat16 or four bytes), so that one tile (tile.h) serves all dtypes. Lane i of a sum gets the products of
// the elements of a's word with those of b's word i.
#pragma once

#include "base/dtype.h"
#include "cpu/simd.h"

namespace embedcore::cpu::EMBEDCORE_ISA {

struct FloatDot {
  static constexpr DType kDType = DType::kF32;
  static constexpr int kPerWord = 1;
  using Sum = Vec;
  [[gnu::always_inline]] static inline Sum add(Sum sum, IntVec a, IntVec b) {
    return sum + reinterpret_cast<Vec>(a) * reinterpret_cast<Vec>(b);
  }
};

struct Bfloat16Dot {
  static constexpr DType kDType = DType::kBF16;
  static constexpr int kPerWord = 2;
  using Sum = Vec;
  [[gnu::always_inline]] static inline Sum add(Sum sum, IntVec a, IntVec b) {
#if defined(__AVX512BF16__)
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
#else
    // The halves as floats; their products are exact in the fused multiply-add.
    const IntVec high = broadcast(static_cast<int32_t>(0xffff0000));
    sum += reinterpret_cast<Vec>(a << 16) * reinterpret_cast<Vec>(b << 16);
    return sum + reinterpret_cast<Vec>(a & high) * reinterpret_cast<Vec>(b & high);
#endif
  }
};

// a has unsigned bytes, b signed ones; the sums are exact in 32 bits.
struct Int8Dot {
  static constexpr DType kDType = DType::kI8;
  static constexpr int kPerWord = 4;
  using Sum = IntVec;
  [[gnu::always_inline]] static inline Sum add(Sum sum, IntVec a, IntVec b) {
#if defined(__AVX512VNNI__)
    return reinterpret_cast<IntVec>(_mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sum), reinterpret_cast<__m512i>(a),
                                                        reinterpret_cast<__m512i>(b)));
#elif defined(__AVXVNNI__)
    return reinterpret_cast<IntVec>(_mm256_dpbusd_avx_epi32(
        reinterpret_cast<__m256i>(sum), reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
#else
    // pmaddubsw would saturate at 16 bits. So even and odd bytes become 16-bit numbers, whose products are added in 32
    // bits.
    const IntVec a_even = a & broadcast(0x00ff00ff),
                 a_odd = reinterpret_cast<IntVec>(reinterpret_cast<WordVec>(a) >> 8) & broadcast(0x00ff00ff);
    const ShortVec b_odd = reinterpret_cast<ShortVec>(b) >> 8, b_even = reinterpret_cast<ShortVec>(b << 8) >> 8;
    return sum + multiply_pairs(a_even, reinterpret_cast<IntVec>(b_even)) +
           multiply_pairs(a_odd, reinterpret_cast<IntVec>(b_odd));
#endif
  }

 private:
  typedef int16_t ShortVec __attribute__((vector_size(kVectorBytes)));
  // a and b as pairs of 16-bit numbers: lane i is a0 b0 + a1 b1.
  [[gnu::always_inline]] static inline IntVec multiply_pairs(IntVec a, IntVec b) {
#if defined(__AVX512BW__)
    return reinterpret_cast<IntVec>(_mm512_madd_epi16(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
#elif defined(__AVX2__)
    return reinterpret_cast<IntVec>(_mm256_madd_epi16(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
#elif defined(__SSE2__)
    return reinterpret_cast<IntVec>(_mm_madd_epi16(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b)));
#else
    return ((a << 16) >> 16) * ((b << 16) >> 16) + (a >> 16) * (b >> 16);
#endif
  }
};

// Calls visit.operator()<Dot>() for the dtype, one of the three.
template <typename Visitor>
void with_dot(DType dtype, Visitor&& visit) {
  if (dtype == DType::kBF16) return visit.template operator()<Bfloat16Dot>();
  if (dtype == DType::kI8) return visit.template operator()<Int8Dot>();
  visit.template operator()<FloatDot>();
}

}  // namespace embedcore::cpu::EMBEDCORE_ISA
