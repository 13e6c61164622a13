#include "timing.h"

#include <algorithm>
#include <chrono>

namespace embedcore::bench {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

namespace {

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

double seconds_per_call(Case& one, Scope& scope, double least) {
  one.call(scope);  // what the case before left in the caches goes
  const double start = now();
  double elapsed = 0;
  int64_t calls = 0;
  do {
    one.call(scope);
    ++calls;
  } while ((elapsed = now() - start) < least);
  return elapsed / static_cast<double>(calls);
}

}  // namespace

double measure_clock() {
  constexpr int64_t kRounds = 200000;
  std::vector<double> rates;
  for (int run = 0; run < 21; ++run) {
    uint64_t sum = 0;
    const double start = now();
    for (int64_t i = 0; i < kRounds; ++i) {
#pragma GCC unroll 8
      for (int j = 0; j < 8; ++j) {
        ++sum;
        asm volatile("" : "+r"(sum));  // one addition after the other
      }
    }
    rates.push_back(8.0 * kRounds / (now() - start) * 1e-9);
  }
  return median(rates);
}

void run(std::vector<Case>& cases, Team& team, const Settings& settings) {
  for (int repeat = 0; repeat < settings.repeats; ++repeat) {
    for (auto& one : cases) {
      Scope scope = team.scope(one.all_threads);
      if (one.all_threads) team.wake();
      one.seconds_per_call.push_back(seconds_per_call(one, scope, settings.seconds));
      team.sleep();
    }
  }
  for (const auto& one : cases) {
    const auto& all = one.seconds_per_call;
    std::printf("{%s,\"threads\":%d,\"seconds\":%.4g,\"least\":%.4g,\"most\":%.4g}\n", one.fields.json().c_str(), one.all_threads ? team.threads() : 1, median(all),
                *std::min_element(all.begin(), all.end()), *std::max_element(all.begin(), all.end()));
  }
  std::fflush(stdout);
}

}  // namespace embedcore::bench
