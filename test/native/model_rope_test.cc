// model/rope.h: frequencies against those that transformers 5 computes for the same parameters (its
// ROPE_INIT_FUNCTIONS), and tables that grow while others use them.
#include "model/rope.h"

#include <gtest/gtest.h>

#include <cmath>
#include <span>
#include <thread>

#include "reference/backend.h"

namespace embedcore {
namespace {

RopeSpec spec_of(double theta, int64_t rotary_dim, RopeScaling scaling = RopeScaling::kNone, double factor = 1,
                 double original_positions = 0) {
  RopeSpec spec;
  spec.theta = theta;
  spec.rotary_dim = rotary_dim;
  spec.scaling = scaling;
  spec.factor = factor;
  spec.original_positions = original_positions;
  return spec;
}

// The reference's device memory is host memory.
std::span<const float> host(const DeviceArray<float>& array) { return {array.data(), array.size()}; }

// The angle of position 1 is the frequency itself: cosine and sine of it, times the attention factor. Two units of the
// last place, for the frequency and the function; the cosine is off by the sine's share of the former.
void expect_frequencies(const RopeSpec& spec, const std::vector<double>& wanted, double attention_factor = 1) {
  RopeTable table(spec, OpenDevice::open(reference_backend()));
  const auto values = table.at_least(2);
  const size_t half = wanted.size();
  ASSERT_GE(values->positions, 2);
  ASSERT_EQ(values->cosine.size(), static_cast<size_t>(values->positions) * half);
  ASSERT_EQ(values->sine.size(), values->cosine.size());
  for (size_t i = 0; i < half; ++i) {
    EXPECT_FLOAT_EQ(host(values->cosine)[i], static_cast<float>(attention_factor)) << "position 0, frequency " << i;
    EXPECT_EQ(host(values->sine)[i], 0.0f) << "position 0, frequency " << i;
    const double slack = 4 * 0x1p-24 * attention_factor;
    EXPECT_NEAR(host(values->cosine)[half + i], attention_factor * std::cos(wanted[i]), slack) << "frequency " << i;
    EXPECT_NEAR(host(values->sine)[half + i], attention_factor * std::sin(wanted[i]), slack * std::min(1.0, wanted[i]))
        << "frequency " << i;
  }
}

TEST(RopeTable, Plain) {
  expect_frequencies(spec_of(10000, 16), {1.0, 0.316227764, 0.100000001, 0.0316227786, 0.00999999978, 0.00316227786,
                                          0.00100000005, 0.000316227786});
}

TEST(RopeTable, Linear) {
  expect_frequencies(
      spec_of(10000, 16, RopeScaling::kLinear, 4),
      {0.25, 0.079056941, 0.0250000004, 0.00790569466, 0.00249999994, 0.000790569466, 0.000250000012, 7.90569466e-05});
}

TEST(RopeTable, Llama3) {
  RopeSpec spec = spec_of(500000, 16, RopeScaling::kLlama3, 8, 512);
  spec.low_frequency_factor = 1;
  spec.high_frequency_factor = 4;
  expect_frequencies(spec, {1.0, 0.193922758, 0.0273441337, 0.000911583134, 0.000176776681, 3.42810235e-05,
                            6.64786967e-06, 1.28917316e-06});
}

TEST(RopeTable, Yarn) {
  RopeSpec spec = spec_of(10000, 16, RopeScaling::kYarn, 4, 1024);
  spec.attention_factor = 1.138629436111989;
  expect_frequencies(
      spec,
      {1.0, 0.316227764, 0.0812500045, 0.0197642371, 0.00437500002, 0.000790569466, 0.000250000012, 7.90569466e-05},
      1.138629436111989);
}

TEST(RopeTable, YarnWithItsOwnRamp) {
  RopeSpec spec = spec_of(1e6, 16, RopeScaling::kYarn, 4, 1024);
  spec.beta_fast = 16;
  spec.beta_slow = 2;
  spec.attention_factor = 0.7;
  spec.truncate = false;
  expect_frequencies(
      spec,
      {1.0, 0.177827939, 0.0187018029, 0.00140585331, 0.000250000012, 4.44569851e-05, 7.90569356e-06, 1.40585337e-06},
      0.7);
}

// Every position turns by the float32 product of position and frequency, as in the reference implementation; far
// positions too.
TEST(RopeTable, PositionsTurnByTheirMultiple) {
  RopeTable table(spec_of(10000, 4), OpenDevice::open(reference_backend()));
  const auto values = table.at_least(5000);
  for (const int64_t position : {1, 2, 511, 512, 4999}) {
    for (const int64_t i : {0, 1}) {
      const double angle = static_cast<double>(static_cast<float>(position) * (i == 0 ? 1.0f : 0.01f));
      EXPECT_NEAR(host(values->cosine)[static_cast<size_t>(position * 2 + i)], std::cos(angle), 0x1p-23) << position;
      EXPECT_NEAR(host(values->sine)[static_cast<size_t>(position * 2 + i)], std::sin(angle), 0x1p-23) << position;
    }
  }
}

TEST(RopeTable, GrowsWithoutDisturbingItsHolders) {
  RopeTable table(spec_of(10000, 8), OpenDevice::open(reference_backend()));
  const auto small = table.at_least(10);
  EXPECT_EQ(table.at_least(small->positions), small);  // enough already
  const std::vector<float> before(host(small->cosine).begin(), host(small->cosine).end());
  const auto large = table.at_least(small->positions + 1);
  EXPECT_GT(large->positions, small->positions);
  EXPECT_TRUE(std::equal(before.begin(), before.end(), host(small->cosine).begin()));
  ASSERT_GE(large->cosine.size(), before.size());
  EXPECT_TRUE(std::equal(before.begin(), before.end(), host(large->cosine).begin()));  // the same text, the same bits
  EXPECT_EQ(table.at_least(1), large);
}

TEST(RopeTable, GrowsFromManyThreads) {
  RopeTable table(spec_of(10000, 8), OpenDevice::open(reference_backend()));
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&table, thread] {
      for (int64_t positions = 100 * (thread + 1); positions < 8000; positions += 900) {
        const auto values = table.at_least(positions);
        ASSERT_GE(values->positions, positions);
        ASSERT_EQ(values->cosine.size(), static_cast<size_t>(values->positions) * 4);
        EXPECT_NEAR(host(values->cosine)[4], std::cos(1.0), 0x1p-24);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace embedcore
