// What this machine can do at most: prints one line of JSON.
//
//   peak THREADS
//
// Arithmetic: loops that touch registers only, with enough independent sums to hide the latency of a fused multiply-add.
// A number is the best of several short runs on all threads at once, by the threads' own processor time: a peak is what the
// machine can do, not what a busy neighbour left over. null = the processor has no such instruction. Bandwidth: every thread
// reads its own 256 MiB, by the clock on the wall, since waiting for memory is what it measures.
// Compiled on the spot with -O3 -march=native; nothing here is part of the package.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

#include <time.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

constexpr int kRuns = 7;
constexpr double kRunSeconds = 0.12;
constexpr int kRounds = 20000;  // inner rounds between two looks at the clock

double seconds(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
}

// Runs `body` (returns operations done in one call) on every thread for kRunSeconds of `clock`; best rate of kRuns, in units of
// 1e9 a second.
double best_rate(int threads, clockid_t clock, const std::function<double(int thread)>& body) {
  double best = 0;
  for (int run = 0; run < kRuns; ++run) {
    std::atomic<int> ready{0};
    std::atomic<bool> go{false};
    std::vector<double> rates(threads);
    std::vector<std::thread> pool;
    for (int t = 0; t < threads; ++t) {
      pool.emplace_back([&, t] {
        ++ready;
        while (!go) std::this_thread::yield();
        const double start = seconds(clock);
        double done = 0, elapsed = 0;
        do done += body(t);
        while ((elapsed = seconds(clock) - start) < kRunSeconds);
        rates[t] = done / elapsed * 1e-9;
      });
    }
    while (ready < threads) std::this_thread::yield();
    go = true;
    for (auto& thread : pool) thread.join();
    double sum = 0;
    for (double rate : rates) sum += rate;
    best = std::max(best, sum);
  }
  return best;
}

// Hides a value from the optimiser, so that neither operand is a known constant and no sum is dropped.
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

#if defined(__AVX512F__)
constexpr int kSums = 16;  // of 32 registers; two operands more
#else
constexpr int kSums = 12;  // of 16 registers; two operands more
#endif

// S: vector of sums, V: vector of operands, ops: operations of one step, step(sum, a, b): the instruction.
// The indices are a pack, not a loop: only then does the compiler keep each sum in its own register from the start.
template <class S, class V, class Step, std::size_t... i>
double register_loop(S zero, V a, V b, double ops, Step step, std::index_sequence<i...>) {
  S sums[] = {((void)i, zero)...};
  (opaque(sums[i]), ...);  // else equal sums are computed once
  opaque(a);
  opaque(b);
  for (int round = 0; round < kRounds; ++round) (step(sums[i], a, b), ...);
  (opaque(sums[i]), ...);
  return ops * sizeof...(i) * kRounds;
}

template <class S, class V, class Step>
double register_loop(S zero, V a, V b, double ops, Step step) {
  return register_loop(zero, a, b, ops, step, std::make_index_sequence<kSums>());
}

// Lanes as the compiler's own vectors: a * b + c becomes one fused instruction on every processor that has one.
template <int bytes>
struct Floats {
  typedef float type __attribute__((vector_size(bytes)));
  static double run() {
    type zero = {}, a = zero + 1.0f, b = zero + 1e-3f;
    return register_loop(zero, a, b, 2.0 * bytes / 4, [](type& s, const type& x, const type& y) { s = x * y + s; });
  }
};

#if defined(__AVX512F__)
constexpr int kFloatBytes = 64;
#elif defined(__AVX__)
constexpr int kFloatBytes = 32;
#else
constexpr int kFloatBytes = 16;
#endif

using Loop = double (*)();

// The dot products are written as instructions: through intrinsics g++ 12 copies the sums and halves the rate.
// The operands are all ones: no sum can overflow into a slow value in the time of a run.
#if defined(__AVX512BF16__)
double bfloat16_loop() {
  const __m512i ones = _mm512_set1_epi32(0x3f803f80);  // twice 1.0
  return register_loop(_mm512_setzero_ps(), ones, ones, 2.0 * 32, [](__m512& s, const __m512i& x, const __m512i& y) {
    asm volatile("vdpbf16ps %2, %1, %0" : "+v"(s) : "v"(x), "v"(y));
  });
}
constexpr Loop kBfloat16 = bfloat16_loop;
constexpr const char* kBfloat16Name = "avx512_bf16";
#else
constexpr Loop kBfloat16 = nullptr;
constexpr const char* kBfloat16Name = "none";
#endif

#if defined(__AVX512VNNI__)
double int8_loop() {
  const __m512i ones = _mm512_set1_epi8(1);
  return register_loop(_mm512_setzero_si512(), ones, ones, 2.0 * 64, [](__m512i& s, const __m512i& x, const __m512i& y) {
    asm volatile("vpdpbusd %2, %1, %0" : "+v"(s) : "v"(x), "v"(y));
  });
}
constexpr Loop kInt8 = int8_loop;
constexpr const char* kInt8Name = "avx512_vnni";
#elif defined(__AVXVNNI__)
double int8_loop() {
  const __m256i ones = _mm256_set1_epi8(1);
  return register_loop(_mm256_setzero_si256(), ones, ones, 2.0 * 32, [](__m256i& s, const __m256i& x, const __m256i& y) {
    asm volatile("%{vex%} vpdpbusd %2, %1, %0" : "+x"(s) : "x"(x), "x"(y));
  });
}
constexpr Loop kInt8 = int8_loop;
constexpr const char* kInt8Name = "avx_vnni";
#else
constexpr Loop kInt8 = nullptr;
constexpr const char* kInt8Name = "none";
#endif

double read_bandwidth(int threads) {
  constexpr std::size_t kBytes = std::size_t{256} << 20;
  std::vector<std::vector<std::uint64_t>> buffers(threads);
  std::vector<std::thread> fill;  // each thread touches its own pages first, so that they lie on its node
  for (int t = 0; t < threads; ++t) fill.emplace_back([&, t] { buffers[t].assign(kBytes / 8, 1); });
  for (auto& thread : fill) thread.join();
  return best_rate(threads, CLOCK_MONOTONIC, [&](int t) {
    typedef std::uint64_t Lane __attribute__((vector_size(64)));
    const auto* data = reinterpret_cast<const Lane*>((reinterpret_cast<std::uintptr_t>(buffers[t].data()) + 63) & ~std::uintptr_t{63});
    Lane sums[4] = {};
    const std::size_t count = kBytes / 64 / 4 * 4 - 4;  // the alignment above may cost one line
    for (std::size_t i = 0; i < count; i += 4)
      for (int j = 0; j < 4; ++j) sums[j] += data[i + j];
    Lane all = sums[0] + sums[1] + sums[2] + sums[3];
    asm volatile("" : : "m"(all));
    return double(count) * 64;
  });
}

void print_rate(const char* name, Loop loop, const char* instruction, int threads) {
  if (loop)
    std::printf("\"%s\":{\"gops\":%.1f,\"instructions\":\"%s\"},", name, best_rate(threads, CLOCK_THREAD_CPUTIME_ID, [&](int) { return loop(); }), instruction);
  else
    std::printf("\"%s\":null,", name);
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 0;
  if (threads < 1 || threads > 4096) {
    std::fprintf(stderr, "usage: peak THREADS (1 to 4096), not '%s'\n", argc > 1 ? argv[1] : "");
    return 2;
  }
  char width[16];
  std::snprintf(width, sizeof width, "%d-bit", kFloatBytes * 8);
  std::printf("{\"threads\":%d,", threads);
  print_rate("float32", Floats<kFloatBytes>::run, width, threads);
  print_rate("bfloat16", kBfloat16, kBfloat16Name, threads);
  print_rate("int8", kInt8, kInt8Name, threads);
#if defined(__AVX512F__)
  print_rate("float32_256bit", Floats<32>::run, "256-bit", threads);
#endif
  std::printf("\"read_gb_s\":%.1f}\n", read_bandwidth(threads));
  return 0;
}
