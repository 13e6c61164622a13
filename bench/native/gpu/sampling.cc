#include "sampling.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "model/replay.h"

namespace embedcore::gpu_bench {

namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

constexpr int kMostCalls = 2000;

}  // namespace

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

Timing measure(OpenStream& stream, const Sampling& sampling, int cycle,
               const std::function<Status(Stream&, int)>& call) {
  const Backend& backend = stream.opened().backend();
  static uint64_t number = 0;  // keys of recorded work are never used again
  const uint64_t key = ++number;
  const bool records = backend.begin_replay && backend.end_replay;
  const auto calls = [&](int count) {
    for (int i = 0; i < count; ++i) check_status(call(stream, i % cycle), stream, "the operation");
  };
  bool replayed = false;  // the last sample
  const auto sample = [&](int count) {
    const double start = now();
    if (records) {
      const uint64_t words[] = {key, static_cast<uint64_t>(count)};
      Replay replay(backend, stream, words);
      replayed = replay.replayed() != nullptr;
      if (!replayed) {
        calls(count);
        replay.complete({});
      }
    } else {
      calls(count);
    }
    stream.wait();
    return now() - start;
  };

  calls(1);  // what is made once, at the first call
  stream.wait();
  const double start = now();
  calls(cycle);
  stream.wait();
  const double seconds = now() - start;
  int cycles = 1;
  while (cycles * seconds < sampling.least_seconds && (cycles + 1) * cycle <= kMostCalls) ++cycles;
  const int count = cycles * cycle;
  for (int i = 0; i < (records ? 3 : 1); ++i) sample(count);  // runs, records, replays

  std::vector<double> times;
  for (int i = 0; i < sampling.samples; ++i) times.push_back(sample(count) / count);
  return {.median = median(times),
          .least = *std::min_element(times.begin(), times.end()),
          .most = *std::max_element(times.begin(), times.end()),
          .calls = count,
          .samples = sampling.samples,
          .recorded = replayed};
}

}  // namespace embedcore::gpu_bench
