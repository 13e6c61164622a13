#include "timing.h"

#include <algorithm>
#include <chrono>
#include <thread>

namespace embedcore::bench {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

namespace {

constexpr int kTries = 6;  // of a sample, until no thread of it lost its core

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

Sample try_once(Case& one, Team& team, double least) {
  Stream stream = team.stream(one.all_threads);
  if (one.all_threads) team.wake();
  one.call(stream);  // evicts the data of the previous case from the caches, and wakes all helpers
  const std::vector<double> before = team.absent(one.all_threads);
  const double start = now();
  double elapsed = 0;
  int64_t calls = 0;
  do {
    one.call(stream);
    ++calls;
  } while ((elapsed = now() - start) < least);
  const std::vector<double> after = team.absent(one.all_threads);
  team.sleep();
  double lost = 0;  // all threads of a sample work or spin, so their absence means that another process had the core
  for (size_t i = 0; i < (one.all_threads ? after.size() : 1); ++i) lost = std::max(lost, after[i] - before[i]);
  return {elapsed / static_cast<double>(calls), lost / elapsed};
}

void add_sample(Case& one, Team& team, double least) {
  Sample best = try_once(one, team, least);
  for (int tries = 1; tries < kTries && !best.clean(); ++tries) {
    std::this_thread::sleep_for(
        std::chrono::milliseconds(tries));  // other processes can use the cores now instead of during the next try
    const Sample again = try_once(one, team, least);
    if (again.lost < best.lost) best = again;
    ++one.repeated;
  }
  one.samples.push_back(best);
}

void print_spread(const char* name, const char* least, const char* most, const std::vector<double>& values) {
  std::printf(",\"%s\":%.4g,\"%s\":%.4g,\"%s\":%.4g", name, median(values), least,
              *std::min_element(values.begin(), values.end()), most, *std::max_element(values.begin(), values.end()));
}

// Only clean samples count. A share needs a clean sample of both case and limit in the same repeat. A case without any
// has no figures.
void print(const Case& one, const std::vector<Case>& cases, int threads) {
  std::vector<double> seconds, shares;
  for (size_t i = 0; i < one.samples.size(); ++i) {
    if (!one.samples[i].clean()) continue;
    seconds.push_back(one.samples[i].seconds);
    if (one.reference < 0) continue;
    const Case& limit = cases[static_cast<size_t>(one.reference)];
    if (limit.samples[i].clean())
      shares.push_back(one.work / one.samples[i].seconds / (limit.work / limit.samples[i].seconds));
  }
  std::printf("{%s,\"threads\":%d,\"clean\":%d,\"repeated\":%d", one.fields.json().c_str(),
              one.all_threads ? threads : 1, static_cast<int>(seconds.size()), one.repeated);
  if (!seconds.empty()) print_spread("seconds", "least", "most", seconds);
  if (!shares.empty()) print_spread("share", "leastShare", "mostShare", shares);
  std::printf("}\n");
}

}  // namespace

void run(std::vector<Case>& cases, Team& team, const Settings& settings) {
  for (int repeat = 0; repeat < settings.repeats; ++repeat)
    for (auto& one : cases) add_sample(one, team, settings.seconds);
  for (const auto& one : cases) print(one, cases, team.threads());
  std::fflush(stdout);
}

}  // namespace embedcore::bench
