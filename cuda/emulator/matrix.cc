#include "emulator/matrix.h"

#include "emulator/numbers.h"

// Compiled for several processors and chosen when the library is loaded.
#if defined(__x86_64__)
#define EMULATED_FAST __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define EMULATED_FAST
#endif
#define EMULATED_INSIDE inline __attribute__((always_inline))

namespace embedcore::cuda::emulator {

namespace {

typedef float Floats __attribute__((vector_size(32), may_alias));    // a row of c
typedef uint32_t Words __attribute__((vector_size(32), may_alias));  // a row of a, or of b
typedef uint32_t Word __attribute__((may_alias));
typedef int32_t Integers __attribute__((vector_size(32), may_alias));
typedef uint32_t Four __attribute__((vector_size(16), may_alias, aligned(1)));
typedef uint16_t Halves __attribute__((vector_size(16), may_alias, aligned(1)));

// c[16 x 8] += a[16 x 2 kPairs] b[2 kPairs x 8], a and b as floats.
template <int kRows, int kDepth>
EMULATED_INSIDE void multiply(const float (*a)[kDepth], const Floats* b, Floats* c) {
  for (int row = 0; row < kRows; row += 4) {
    Floats c0 = c[row], c1 = c[row + 1], c2 = c[row + 2], c3 = c[row + 3];
#pragma GCC unroll 8
    for (int k = 0; k < kDepth; ++k) {
      const Floats column = b[k];
      c0 += a[row][k] * column;
      c1 += a[row + 1][k] * column;
      c2 += a[row + 2][k] * column;
      c3 += a[row + 3][k] * column;
    }
    c[row] = c0, c[row + 1] = c1, c[row + 2] = c2, c[row + 3] = c3;
  }
}

// Words of two bfloat16 to floats: even elements, then odd elements of a row; the same order in a and b.
template <int kPairs>
EMULATED_INSIDE void multiply_bf16(Fragments& f) {
  alignas(64) float a[16][2 * kPairs];
  Floats b[2 * kPairs];
  for (int row = 0; row < 16; ++row)
    for (int k = 0; k < kPairs; ++k) {
      reinterpret_cast<Word*>(a[row])[2 * k] = f.a[row * 8 + k] << 16;
      reinterpret_cast<Word*>(a[row])[2 * k + 1] = f.a[row * 8 + k] & 0xffff0000u;
    }
  for (int k = 0; k < kPairs; ++k) {
    const Words words = *reinterpret_cast<const Words*>(f.b + 8 * k);
    b[2 * k] = reinterpret_cast<Floats>(words << 16);
    b[2 * k + 1] = reinterpret_cast<Floats>(words & 0xffff0000u);
  }
  multiply<16, 2 * kPairs>(a, b, reinterpret_cast<Floats*>(f.c));
}

// float16 to float without an instruction for it: the exponent is moved by a multiplication, which keeps subnormal
// numbers, infinities and NaN.
EMULATED_INSIDE void widen(const Words& half, Floats& result) {
  const Words sign = (half & 0x8000u) << 16;
  const Words shifted = (half & 0x7fffu) << 13;
  Words scaled = reinterpret_cast<Words>(reinterpret_cast<Floats>(shifted) * 0x1p112f);
  const Words special = reinterpret_cast<Words>(shifted >= (0x7c00u << 13));
  scaled |= special & 0x7f800000u;
  result = reinterpret_cast<Floats>(scaled | sign);
}

template <int kPairs>
EMULATED_INSIDE void multiply_f16(Fragments& f) {
  alignas(64) float a[16][2 * kPairs];
  Floats b[2 * kPairs];
  for (int row = 0; row < 16; ++row) {
    const Words words = *reinterpret_cast<const Words*>(f.a + 8 * row);
    Floats low, high;
    widen(words & 0xffffu, low);
    widen(words >> 16, high);
    for (int k = 0; k < kPairs; ++k) {
      a[row][2 * k] = low[k];
      a[row][2 * k + 1] = high[k];
    }
  }
  for (int k = 0; k < kPairs; ++k) {
    const Words words = *reinterpret_cast<const Words*>(f.b + 8 * k);
    widen(words & 0xffffu, b[2 * k]);
    widen(words >> 16, b[2 * k + 1]);
  }
  multiply<16, 2 * kPairs>(a, b, reinterpret_cast<Floats*>(f.c));
}

// Products of bytes and their sums over 32 elements are whole numbers below 2^24, hence exact in float.
template <int kRows, int kFours>
EMULATED_INSIDE void multiply_u8s8(Fragments& f) {
  constexpr int kDepth = 4 * kFours;
  alignas(64) float a[kRows][kDepth];
  Floats b[kDepth];
  for (int row = 0; row < kRows; ++row) {
    const auto* bytes = reinterpret_cast<const unsigned char*>(f.a + 8 * row);
    for (int k = 0; k < kDepth; ++k) a[row][k] = bytes[k];
  }
  for (int k = 0; k < kFours; ++k) {
    const Integers words = *reinterpret_cast<const Integers*>(f.b + 8 * k);
    b[4 * k] = __builtin_convertvector(words << 24 >> 24, Floats);
    b[4 * k + 1] = __builtin_convertvector(words << 16 >> 24, Floats);
    b[4 * k + 2] = __builtin_convertvector(words << 8 >> 24, Floats);
    b[4 * k + 3] = __builtin_convertvector(words >> 24, Floats);
  }
  Floats sums[kRows] = {};
  multiply<kRows, kDepth>(a, b, sums);
  auto* c = reinterpret_cast<Integers*>(f.i);
  for (int row = 0; row < kRows; ++row)
    c[row] = reinterpret_cast<Integers>(reinterpret_cast<Words>(c[row]) +
                                        reinterpret_cast<Words>(__builtin_convertvector(sums[row], Integers)));
}

template <bool kF16>
EMULATED_INSIDE void multiply_wgmma(const unsigned char* const (&rows)[16][2],
                                    const unsigned char* const (&columns)[256][2], int n, float* sums) {
  auto widen_words = [](const Words& words, Floats& low, Floats& high) __attribute__((always_inline)) {
    if constexpr (kF16) {
      widen(words & 0xffffu, low);
      widen(words >> 16, high);
    } else {
      low = reinterpret_cast<Floats>(words << 16);
      high = reinterpret_cast<Floats>(words & 0xffff0000u);
    }
  };
  alignas(64) float a[16][16];
  for (int row = 0; row < 16; ++row) {
    Words words;
    __builtin_memcpy(&words, rows[row][0], 16);
    __builtin_memcpy(reinterpret_cast<char*>(&words) + 16, rows[row][1], 16);
    Floats low, high;
    widen_words(words, low, high);
    for (int k = 0; k < 8; ++k) {
      a[row][2 * k] = low[k];
      a[row][2 * k + 1] = high[k];
    }
  }
  for (int j = 0; j < n / 8; ++j) {
    alignas(64) uint32_t pairs[8][8];  // [pair of k][column]
    for (int column = 0; column < 8; ++column) {
      uint32_t words[8];
      __builtin_memcpy(words, columns[8 * j + column][0], 16);
      __builtin_memcpy(words + 4, columns[8 * j + column][1], 16);
      for (int k = 0; k < 8; ++k) pairs[k][column] = words[k];
    }
    Floats b[16];
    for (int k = 0; k < 8; ++k) widen_words(*reinterpret_cast<const Words*>(pairs[k]), b[2 * k], b[2 * k + 1]);
    multiply<16, 16>(a, b, reinterpret_cast<Floats*>(sums + 128 * j));
  }
}

}  // namespace

EMULATED_FAST void multiply_16816_bf16(Fragments& f) { multiply_bf16<8>(f); }
EMULATED_FAST void multiply_16816_f16(Fragments& f) { multiply_f16<8>(f); }
EMULATED_FAST void multiply_1688_f16(Fragments& f) { multiply_f16<4>(f); }
EMULATED_FAST void multiply_16832_u8s8(Fragments& f) { multiply_u8s8<16, 8>(f); }
EMULATED_FAST void multiply_8816_u8s8(Fragments& f) { multiply_u8s8<8, 4>(f); }

EMULATED_FAST void multiply_wgmma_bf16(const unsigned char* const (&rows)[16][2],
                                       const unsigned char* const (&columns)[256][2], int n, float* sums) {
  multiply_wgmma<false>(rows, columns, n, sums);
}
EMULATED_FAST void multiply_wgmma_f16(const unsigned char* const (&rows)[16][2],
                                      const unsigned char* const (&columns)[256][2], int n, float* sums) {
  multiply_wgmma<true>(rows, columns, n, sums);
}

void spread_matrices(const unsigned char* const (&rows)[32], uint32_t (&lanes)[32][4]) {
  for (int i = 0; i < 8; ++i) {
    const Four r0 = *reinterpret_cast<const Four*>(rows[i]), r1 = *reinterpret_cast<const Four*>(rows[8 + i]);
    const Four r2 = *reinterpret_cast<const Four*>(rows[16 + i]), r3 = *reinterpret_cast<const Four*>(rows[24 + i]);
    const Four low01 = __builtin_shufflevector(r0, r1, 0, 4, 1, 5), low23 = __builtin_shufflevector(r2, r3, 0, 4, 1, 5);
    const Four high01 = __builtin_shufflevector(r0, r1, 2, 6, 3, 7);
    const Four high23 = __builtin_shufflevector(r2, r3, 2, 6, 3, 7);
    auto* to = reinterpret_cast<Four*>(lanes[4 * i]);
    to[0] = __builtin_shufflevector(low01, low23, 0, 1, 4, 5);
    to[1] = __builtin_shufflevector(low01, low23, 2, 3, 6, 7);
    to[2] = __builtin_shufflevector(high01, high23, 0, 1, 4, 5);
    to[3] = __builtin_shufflevector(high01, high23, 2, 3, 6, 7);
  }
}

void spread_matrices_transposed(const unsigned char* const (&rows)[32], uint32_t (&lanes)[32][4]) {
  for (int m = 0; m < 4; ++m)
    for (int t = 0; t < 4; ++t) {
      const Halves even = *reinterpret_cast<const Halves*>(rows[8 * m + 2 * t]);
      const Halves odd = *reinterpret_cast<const Halves*>(rows[8 * m + 2 * t + 1]);
      const Four low = reinterpret_cast<Four>(__builtin_shufflevector(even, odd, 0, 8, 1, 9, 2, 10, 3, 11));
      const Four high = reinterpret_cast<Four>(__builtin_shufflevector(even, odd, 4, 12, 5, 13, 6, 14, 7, 15));
      for (int g = 0; g < 4; ++g) lanes[4 * g + t][m] = low[g];
      for (int g = 0; g < 4; ++g) lanes[4 * (g + 4) + t][m] = high[g];
    }
}

}  // namespace embedcore::cuda::emulator
