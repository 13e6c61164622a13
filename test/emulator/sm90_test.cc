// TMA, barriers in shared memory and wgmma: a whole product against float64, and planted bugs.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>

#include "device_array.h"
#include "sm90_kernel.h"

namespace embedcore::cuda {

namespace {

double seconds() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Whole numbers from -8 to 8, different in every row and column: sums are exact in float32.
template <typename T>
std::vector<T> numbers(int64_t rows, int64_t columns, int64_t stride, int salt) {
  std::vector<T> result(static_cast<size_t>(rows * stride));
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < stride; ++j)
      result[static_cast<size_t>(i * stride + j)] =
          from_float<T>(j < columns ? static_cast<float>((i * 31 + j * 17 + i * j % 7 + salt) % 17 - 8) : 100.0f);
  return result;
}

struct Sizes {
  int m, n, k;
};

template <typename T, int kColumns, Bug kBug = Bug::kNone>
Error run_product(const Sizes& sizes, std::vector<T>* result, std::vector<T>* x_out = nullptr,
                  std::vector<T>* w_out = nullptr, double* taken = nullptr) {
  using Kernel = Sm90ProductKernel<T, kColumns, kBug>;
  // Rows are 8 elements longer than needed: what lies there is not read.
  const int64_t stride = (sizes.k + 7) / 8 * 8 + 8, y_stride = (sizes.n + 7) / 8 * 8;
  const auto x = numbers<T>(sizes.m, sizes.k, stride, 1), w = numbers<T>(sizes.n, sizes.k, stride, 5);
  DeviceArray<T> device_x(x), device_w(w), device_y(std::vector<T>(static_cast<size_t>(sizes.m * y_stride)));
  typename Kernel::Args args{};
  args.steps = (sizes.k + 63) / 64;
  EXPECT_EQ(make_tensor_map(&args.x, device_x.data, sizes.k, sizes.m, stride * 2, Kernel::kRows), Error::kOk);
  EXPECT_EQ(make_tensor_map(&args.w, device_w.data, sizes.k, sizes.n, stride * 2, kColumns), Error::kOk);
  EXPECT_EQ(make_tensor_map(&args.y, device_y.data, sizes.n, sizes.m, y_stride * 2, 64), Error::kOk);
  const Grid grid{.x = static_cast<uint32_t>((sizes.n + kColumns - 1) / kColumns),
                  .y = static_cast<uint32_t>((sizes.m + 127) / 128)};
  const double begin = seconds();
  const Error error = run<Kernel>(grid, Kernel::kSharedBytes, args);
  if (taken) *taken = seconds() - begin;
  if (result && error == Error::kOk) *result = device_y.get();
  if (x_out) *x_out = x;
  if (w_out) *w_out = w;
  if (error != Error::kOk) emulator::reset_devices();
  return error;
}

template <typename T, int kColumns>
void test_product(const Sizes& sizes) {
  for (const uint64_t seed : {0, 1, 2}) {
    const WithSettings with([&](emulator::Settings& settings) {
      settings.architecture = 90;
      settings.seed = seed;
    });
    std::vector<T> y, x, w;
    ASSERT_EQ((run_product<T, kColumns>(sizes, &y, &x, &w)), Error::kOk);
    const int64_t stride = (sizes.k + 7) / 8 * 8 + 8, y_stride = (sizes.n + 7) / 8 * 8;
    for (int64_t i = 0; i < sizes.m; ++i)
      for (int64_t j = 0; j < y_stride; ++j) {
        float sum = 0;
        for (int64_t c = 0; c < sizes.k && j < sizes.n; ++c)
          sum += to_float(x[static_cast<size_t>(i * stride + c)]) * to_float(w[static_cast<size_t>(j * stride + c)]);
        ASSERT_EQ(y[static_cast<size_t>(i * y_stride + j)].bits, from_float<T>(sum).bits) << i << ", " << j;
      }
  }
}

TEST(Sm90, ProductOfBf16With256Columns) { test_product<bf16, 256>({.m = 200, .n = 300, .k = 136}); }
TEST(Sm90, ProductOfBf16With192Columns) { test_product<bf16, 192>({.m = 128, .n = 192, .k = 256}); }
TEST(Sm90, ProductOfBf16With128Columns) { test_product<bf16, 128>({.m = 1, .n = 8, .k = 8}); }
TEST(Sm90, ProductOfF16With64Columns) { test_product<f16, 64>({.m = 130, .n = 71, .k = 640}); }

TEST(Sm90, WhatAProductCosts) {
  const WithSettings with([](emulator::Settings& settings) { settings.architecture = 90; });
  double least = 1e9, taken = 0;
  const Sizes sizes{.m = 128, .n = 256, .k = 1024};
  for (int repeat = 0; repeat < 3; ++repeat) {
    ASSERT_EQ((run_product<bf16, 256>(sizes, nullptr, nullptr, nullptr, &taken)), Error::kOk);
    least = std::min(least, taken);
  }
  std::printf("wgmma product 128x256x64: %.2f GFLOP/s\n", 2.0 * sizes.m * sizes.n * sizes.k / least * 1e-9);
}

TEST(Sm90, TensorMaps) {
  DeviceArray<bf16> memory(4096);
  TensorMap map;
  EXPECT_EQ(make_tensor_map(&map, memory.data, 64, 32, 128, 32), Error::kOk);
  EXPECT_EQ(make_tensor_map(&map, memory.data + 1, 63, 32, 128, 32), Error::kInvalidValue);
  EXPECT_EQ(make_tensor_map(&map, memory.data, 64, 32, 136, 32), Error::kInvalidValue);
  EXPECT_EQ(make_tensor_map(&map, memory.data, 64, 32, 128, 257), Error::kInvalidValue);
  EXPECT_EQ(make_tensor_map(&map, memory.data, 0, 32, 128, 32), Error::kInvalidValue);
}

#ifdef EMBEDCORE_EMULATED_CHECKED

template <Bug kBug>
void test_bug(const std::vector<std::string>& sentences) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const WithSettings with([&](emulator::Settings& settings) {
      settings.architecture = 90;
      settings.seed = seed;
    });
    emulator::take_reports();
    emulator::print_reports(false);
    const Error error = run_product<bf16, 128, kBug>({.m = 128, .n = 128, .k = 512}, nullptr);
    const auto reports = emulator::take_reports();
    emulator::print_reports(true);
    EXPECT_EQ(error == Error::kOk, kBug == Bug::kNone);
    ASSERT_EQ(reports.size(), kBug == Bug::kNone ? 0u : 1u) << "seed " << seed;
    if (kBug == Bug::kNone) continue;
    bool right = false;
    for (const std::string& sentence : sentences) right = right || reports[0].find(sentence) != std::string::npos;
    EXPECT_TRUE(right) << reports[0];
  }
}

TEST(PlantedSm90, None) { test_bug<Bug::kNone>({}); }
TEST(PlantedSm90, TooFewBytes) { test_bug<Bug::kTooFewBytes>({"1024 bytes more than were announced"}); }
TEST(PlantedSm90, TooManyBytes) { test_bug<Bug::kTooManyBytes>({"which misses 0 arrivals and 1024 bytes"}); }
TEST(PlantedSm90, ParityOfTheConsumer) {
  test_bug<Bug::kConsumerParity>({"which was never written", "has not been waited for"});
}
TEST(PlantedSm90, ParityOfTheProducer) { test_bug<Bug::kProducerParity>({"no thread can continue"}); }
TEST(PlantedSm90, StageReleasedBeforeItIsRead) {
  test_bug<Bug::kEarlyRelease>({"has not been waited for", "nothing orders the two"});
}
TEST(PlantedSm90, StoreWithoutAProxyFence) { test_bug<Bug::kNoProxyFence>({"without a fence_async_proxy since"}); }
TEST(PlantedSm90, OperandWithoutAProxyFence) { test_bug<Bug::kGenericOperand>({"without a fence_async_proxy since"}); }
TEST(PlantedSm90, NoWgmmaFence) { test_bug<Bug::kNoWgmmaFence>({"without a wgmma_fence since"}); }
TEST(PlantedSm90, NoWgmmaWait) {
  test_bug<Bug::kNoWgmmaWait>({"has not waited for", "has not been waited for", "nothing orders the two"});
}
TEST(PlantedSm90, NoWgmmaCommit) {
  test_bug<Bug::kNoCommit>({"has not waited for", "has not been waited for", "nothing orders the two"});
}
TEST(PlantedSm90, NoBarrierInitDone) { test_bug<Bug::kNoInitDone>({"before barrier_init_done was called"}); }
TEST(PlantedSm90, NoBarrierAfterInit) {
  test_bug<Bug::kNoBarrierAfterInit>({"is used before the block has met", "there is no barrier at"});
}
TEST(PlantedSm90, AWarpWithoutAWgmma) { test_bug<Bug::kOneWarpLess>({"have not executed the same wgmma"}); }
TEST(PlantedSm90, MoreRegistersThanThereAre) { test_bug<Bug::kRegisters>({"waits for 240 registers a thread"}); }
TEST(PlantedSm90, BarrierOverwritten) { test_bug<Bug::kBarrierOverwritten>({"where a barrier lies"}); }
TEST(PlantedSm90, StoreNotWaitedFor) { test_bug<Bug::kStoreNotWaited>({"have read shared memory", "still reads"}); }
TEST(PlantedSm90, TileReusedBeforeItIsStored) { test_bug<Bug::kTileReused>({"still reads"}); }
TEST(PlantedSm90, MisalignedBox) { test_bug<Bug::kMisaligned>({"expected a multiple of 1024"}); }

#endif

}  // namespace

}  // namespace embedcore::cuda
