// Arithmetic: enough independent sums to hide the latency of a fused multiply-add, with different operands for each, as
// in a tile of a matrix product. Operands are normal numbers and differ for each instruction. Ones or zeros would
// switch fewer transistors than a matrix product, so a processor limited by power would run faster than in real work.
#include "limits.h"

#include <cmath>
#include <cstring>
#include <random>
#include <utility>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace embedcore::bench {
namespace {

// Hides a value from the optimiser, so that no operand is a known constant, no product is moved out of the loop and no
// sum is removed.
template <class V>
inline void opaque(V& v) {
#if defined(__AVX512F__)
  asm volatile("" : "+v"(v));
#elif defined(__x86_64__)
  asm volatile("" : "+x"(v));
#elif defined(__aarch64__)
  asm volatile("" : "+w"(v));
#else
  asm volatile("" : "+m"(v));
#endif
}

#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kSums = 16, kOperands = 4;  // 24 of 32 registers
#else
constexpr int kSums = 10, kOperands = 2;  // 14 of 16 registers
#endif

// S: vector of sums, V: vector of operands, step(sum, a, b): the instruction. The indices are parameter packs and not
// loops, because only then does the compiler keep each sum in a register from the start.
template <class S, class V, class Step, size_t... i, size_t... j>
inline void register_loop(int64_t rounds, const V* numbers, Step step, std::index_sequence<i...>,
                          std::index_sequence<j...>) {
  S sums[] = {((void)i, S{})...};
  V a[] = {numbers[j]...}, b[] = {numbers[kOperands + j]...};
  (opaque(sums[i]), ...);  // otherwise equal sums are computed once
  for (int64_t round = 0; round < rounds; ++round) {
    (opaque(a[j]), ...);
    (step(sums[i], a[i % kOperands], b[i / kOperands % kOperands]), ...);
  }
  (opaque(sums[i]), ...);
}

template <class S, class V, class Step>
inline void register_loop(int64_t rounds, const V* numbers, Step step) {
  register_loop<S>(rounds, numbers, step, std::make_index_sequence<kSums>(), std::make_index_sequence<kOperands>());
}

// Operands whose lanes of type T are `make` of normal numbers; made before the first use.
template <class V, class T, class Make>
struct Operands {
  V numbers[2 * kOperands];
  explicit Operands(Make make) {
    std::mt19937 engine(1);
    std::normal_distribution<float> normal;
    constexpr size_t kBytes = sizeof numbers;
    std::vector<T> lanes(kBytes / sizeof(T));
    for (auto& lane : lanes) lane = make(normal(engine));
    std::memcpy(numbers, lanes.data(), kBytes);
  }
};

template <class V, class T, class Make>
const V* operands(Make make) {
  static const Operands<V, T, Make> made(make);
  return made.numbers;
}

// Uses vector extensions of the compiler: a * b + c becomes one fused instruction on every processor that has one.
template <int bytes>
void float32_loop(int64_t rounds) {
  typedef float Lanes __attribute__((vector_size(bytes)));
  register_loop<Lanes>(rounds, operands<Lanes, float>([](float x) { return x; }),
                       [](Lanes& s, const Lanes& x, const Lanes& y) { s = x * y + s; });
}

#if defined(__AVX512F__)
constexpr int kFloatBytes = 64;
constexpr const char* kFloatName = "512-bit";
#elif defined(__AVX__)
constexpr int kFloatBytes = 32;
constexpr const char* kFloatName = "256-bit";
#else
constexpr int kFloatBytes = 16;
constexpr const char* kFloatName = "128-bit";
#endif

// The dot products are written as instructions: through intrinsics g++ 12 copies the sums and halves the rate.
#if defined(__AVX512BF16__)
void bfloat16_loop(int64_t rounds) {
  const auto* numbers = operands<__m512i, uint16_t>([](float x) {
    uint32_t bits;  // cut instead of rounded, because any numbers will do
    std::memcpy(&bits, &x, 4);
    return static_cast<uint16_t>(bits >> 16);
  });
  register_loop<__m512>(rounds, numbers, [](__m512& s, const __m512i& x, const __m512i& y) {
    asm volatile("vdpbf16ps %2, %1, %0" : "+v"(s) : "v"(x), "v"(y));
  });
}
#endif

#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
int8_t byte_of(float x) { return static_cast<int8_t>(std::lrint(std::fmax(-127, std::fmin(127, 40 * x)))); }
#endif

}  // namespace

const Loop kFloat32Loop{"float32", kFloatName, 2.0 * kSums* kFloatBytes / 4, float32_loop<kFloatBytes>};

#if defined(__AVX512F__)
const Loop kFloat32Loop256{"float32_256bit", "256-bit", 2.0 * kSums * 8, float32_loop<32>};
#else
const Loop kFloat32Loop256{"float32_256bit", "none", 0, nullptr};
#endif

#if defined(__AVX512BF16__)
const Loop kBfloat16Loop{"bfloat16", "avx512_bf16", 2.0 * kSums * 32, bfloat16_loop};
#else
const Loop kBfloat16Loop{"bfloat16", "none", 0, nullptr};
#endif

#if defined(__AVX512VNNI__)
const Loop kInt8Loop{"int8", "avx512_vnni", 2.0 * kSums * 64, [](int64_t rounds) {
                       register_loop<__m512i>(rounds, operands<__m512i, int8_t>(byte_of),
                                              [](__m512i& s, const __m512i& x, const __m512i& y) {
                                                asm volatile("vpdpbusd %2, %1, %0" : "+v"(s) : "v"(x), "v"(y));
                                              });
                     }};
#elif defined(__AVXVNNI__)
const Loop kInt8Loop{"int8", "avx_vnni", 2.0 * kSums * 32, [](int64_t rounds) {
                       register_loop<__m256i>(rounds, operands<__m256i, int8_t>(byte_of),
                                              [](__m256i& s, const __m256i& x, const __m256i& y) {
                                                asm volatile("%{vex%} vpdpbusd %2, %1, %0" : "+x"(s) : "x"(x), "x"(y));
                                              });
                     }};
#else
const Loop kInt8Loop{"int8", "none", 0, nullptr};
#endif

// Reads in four places in parallel, each of which the processor prefetches.
void read_bytes(const void* data, size_t bytes) {
  typedef uint64_t Lane __attribute__((vector_size(64)));
  const auto* lanes = static_cast<const Lane*>(data);
  const size_t quarter = bytes / 64 / 4;
  Lane sums[4] = {};
  for (size_t i = 0; i < quarter; ++i)
    for (size_t j = 0; j < 4; ++j) sums[j] += lanes[j * quarter + i];
  Lane all = sums[0] + sums[1] + sums[2] + sums[3];
  asm volatile("" : : "m"(all));
}

}  // namespace embedcore::bench
