// Measures the highest rates of this machine and prints one line of JSON.
//
//   peak THREADS         the best of several short runs: what the machine has been seen to do
//   peak THREADS turn    one run of each precision: what it does right now, for a bench that takes it in turn with what
//   it measures
//
// The loops are those of limits.cc, on all threads at once. Arithmetic is timed by the processor time of the threads,
// so that another process on the same core does not count; null = the processor has no such instruction. For the
// bandwidth every thread reads its own 256 MiB, timed by the wall clock, because it measures waiting for memory.
// Nothing here is part of the package.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

#include <time.h>

#include "limits.h"

namespace {

using namespace embedcore::bench;

constexpr int kRuns = 7;
constexpr double kRunSeconds = 0.12;
constexpr int64_t kRounds = 20000;  // between two looks at the clock

double seconds(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
}

// Runs `body` (returns operations done in one call) on every thread for kRunSeconds of `clock`; best rate of
// `runs`, in units of 1e9 a second.
double best_rate(int threads, int runs, clockid_t clock, const std::function<double(int thread)>& body) {
  double best = 0;
  for (int run = 0; run < runs; ++run) {
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

double read_bandwidth(int threads) {
  constexpr size_t kBytes = size_t{256} << 20;
  std::vector<std::vector<uint64_t>> buffers(threads);
  std::vector<std::thread> fill;  // each thread touches its own pages first, so that they are on its node
  for (int t = 0; t < threads; ++t) fill.emplace_back([&, t] { buffers[t].assign(kBytes / 8, 1); });
  for (auto& thread : fill) thread.join();
  return best_rate(threads, kRuns, CLOCK_MONOTONIC, [&](int t) {
    const auto address = (reinterpret_cast<uintptr_t>(buffers[t].data()) + 63) & ~uintptr_t{63};
    constexpr size_t kRead = kBytes - 256;  // the alignment above may use up a line
    read_bytes(reinterpret_cast<const void*>(address), kRead);
    return double(kRead);
  });
}

void print_rate(const Loop& loop, int threads, int runs) {
  if (!loop.run) {
    std::printf(",\"%s\":null", loop.precision);
    return;
  }
  loop.run(1);  // the operands are made
  const double rate = best_rate(threads, runs, CLOCK_THREAD_CPUTIME_ID, [&](int) {
    loop.run(kRounds);
    return loop.operations * double(kRounds);
  });
  std::printf(",\"%s\":{\"gops\":%.1f,\"instructions\":\"%s\"}", loop.precision, rate, loop.instructions);
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 0;
  const bool turn = argc > 2 && std::strcmp(argv[2], "turn") == 0;
  if (threads < 1 || threads > 4096 || (argc > 2 && !turn)) {
    std::fprintf(stderr, "usage: peak THREADS [turn]      THREADS: 1 to 4096\n");
    return 2;
  }
  std::printf("{\"threads\":%d", threads);
  for (const Loop* loop : {&kFloat32Loop, &kBfloat16Loop, &kInt8Loop}) print_rate(*loop, threads, turn ? 1 : kRuns);
  if (!turn) {
    if (kFloat32Loop256.run) print_rate(kFloat32Loop256, threads, kRuns);
    std::printf(",\"read_gb_s\":%.1f", read_bandwidth(threads));
  }
  std::printf("}\n");
  return 0;
}
