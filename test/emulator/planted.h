// Kernels with a planted bug and their correct twins: the bug is reported with the right sentence, the twin is silent
// under every schedule.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "device_array.h"

namespace embedcore::cuda {

// A kernel of one body with some words to read and write. Body: kWarps, kShared, run(in, out, thread).
struct WordArgs {
  const uint32_t* in;
  uint32_t* out;
};
template <typename Body>
struct BodyKernel {
  static constexpr int kThreads = 32 * Body::kWarps;
  static constexpr int kMinBlocks = 1;
  static constexpr Arch kArch = Arch::kAny;
  using Args = WordArgs;
  GPU static void run(const Args& args) { Body::run(args.in, args.out, thread_index()); }
};

struct PlantedCase {
  uint32_t blocks = 1;
  size_t words = 1024;  // of `in`, which is filled, and of `out`, which is not
  bool clear_out = false;
  int architecture = 80;
};

// Runs the kernel once; the reports.
template <typename Body>
std::vector<std::string> reports_of(const PlantedCase& planted, uint64_t seed) {
  const WithSettings with([&](emulator::Settings& settings) {
    settings.seed = seed;
    settings.architecture = planted.architecture;
  });
  emulator::take_reports();
  emulator::print_reports(false);
  std::vector<uint32_t> values(planted.words);
  for (uint32_t i = 0; i < values.size(); ++i) values[i] = i + 1;
  DeviceArray<uint32_t> in(values), out(planted.words);
  if (planted.clear_out) out.set(std::vector<uint32_t>(planted.words, 0));
  const Error error = run<BodyKernel<Body>>(Grid{.x = planted.blocks}, Body::kShared, {in.data, out.data});
  const auto reports = emulator::take_reports();
  EXPECT_EQ(error == Error::kOk, reports.empty()) << error_name(error);
  emulator::reset_devices();
  emulator::print_reports(true);
  return reports;
}

// Body<true> has the bug, Body<false> has not. How it shows may depend on the schedule: one of the sentences.
template <template <bool> typename Body>
void test_planted(const std::vector<std::string>& sentences, const PlantedCase& planted = {}) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const auto reports = reports_of<Body<true>>(planted, seed);
    ASSERT_EQ(reports.size(), 1u) << "seed " << seed;
    bool right = false;
    for (const std::string& sentence : sentences) right = right || reports[0].find(sentence) != std::string::npos;
    EXPECT_TRUE(right) << reports[0];
    EXPECT_NE(reports[0].find("BodyKernel<"), std::string::npos) << reports[0];
    const auto none = reports_of<Body<false>>(planted, seed);
    ASSERT_EQ(none, std::vector<std::string>{}) << "seed " << seed;
  }
}

}  // namespace embedcore::cuda
