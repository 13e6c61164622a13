// Whole kernels against float64, and what they cost.
#include "kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <random>

#include "device_array.h"

namespace embedcore::cuda {

namespace {

// Of this thread alone, so that a busy machine does not count.
double seconds() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

std::vector<bf16> random_bf16(size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> values(-1, 1);
  std::vector<bf16> result(count);
  for (bf16& value : result) value = bf16{emulator::bf16_of_float(values(random))};
  return result;
}

template <typename Kernel>
void test_product(int m, int n, int k, Grid grid, const char* name) {
  const std::vector<bf16> x = random_bf16(static_cast<size_t>(m) * k, 1),
                          w = random_bf16(static_cast<size_t>(n) * k, 2);
  DeviceArray<bf16> device_x(x), device_w(w);
  DeviceArray<float> device_y(static_cast<size_t>(m) * n);
  double taken = 1e9;
  for (int repeat = 0; repeat < 5; ++repeat) {
    const double begin = seconds();
    ASSERT_EQ(run<Kernel>(grid, Kernel::kSharedBytes, {device_x.data, device_w.data, device_y.data, n, k}), Error::kOk);
    taken = std::min(taken, seconds() - begin);
  }
  const std::vector<float> y = device_y.get();
  for (int i = 0; i < m; ++i)
    for (int j = 0; j < n; ++j) {
      double sum = 0, size = 0;
      for (int c = 0; c < k; ++c) {
        const double product = static_cast<double>(to_float(x[static_cast<size_t>(i) * k + c])) *
                               to_float(w[static_cast<size_t>(j) * k + c]);
        sum += product;
        size += std::fabs(product);
      }
      // k additions in float32, each rounded once.
      ASSERT_NEAR(y[static_cast<size_t>(i) * n + j], sum, size * k * 0x1p-24) << i << ", " << j;
    }
  std::printf("%s: %.2f GFLOP/s\n", name, 2.0 * m * n * k / taken * 1e-9);
}

TEST(Kernels, ProductOf128x128x32InFourStages) {
  using Kernel = ProductKernel<128, 128, 32, 64, 64, 4>;
  test_product<Kernel>(128, 256, 512, Grid{.x = 2, .y = 1}, "product 128x128x32, 4 stages, warps 64x64");
}

TEST(Kernels, ProductOf128x64x64InThreeStages) {
  using Kernel = ProductKernel<128, 64, 64, 32, 32, 3>;
  test_product<Kernel>(256, 64, 320, Grid{.x = 1, .y = 2}, "product 128x64x64, 3 stages, warps 32x32");
}

TEST(Kernels, LayerNorm) {
  constexpr int kRows = 250, kWidth = 768;
  std::mt19937 random(3);
  std::uniform_real_distribution<float> values(-1, 3);
  std::vector<float> x(kRows * kWidth);
  for (float& value : x) value = values(random);
  DeviceArray<float> device_x(x), device_y(x.size());
  const LayerNormKernel::Args args{device_x.data, device_y.data, kRows, kWidth, 1e-5f};
  double taken = 1e9;
  for (int repeat = 0; repeat < 5; ++repeat) {
    const double begin = seconds();
    ASSERT_EQ(run<LayerNormKernel>(Grid{.x = (kRows + 7) / 8}, 0, args), Error::kOk);
    taken = std::min(taken, seconds() - begin);
  }
  const std::vector<float> y = device_y.get();
  for (int row = 0; row < kRows; ++row) {
    double mean = 0, variance = 0;
    for (int i = 0; i < kWidth; ++i) mean += x[row * kWidth + i];
    mean /= kWidth;
    for (int i = 0; i < kWidth; ++i) variance += (x[row * kWidth + i] - mean) * (x[row * kWidth + i] - mean);
    const double scale = 1 / std::sqrt(variance / kWidth + 1e-5);
    // The mean is off by at most 24 + 5 roundings of sums of size 2, the scale by less.
    for (int i = 0; i < kWidth; ++i)
      ASSERT_NEAR(y[row * kWidth + i], (x[row * kWidth + i] - mean) * scale, 64 * 0x1p-24 * 2) << row << ", " << i;
  }
  std::printf("layer norm: %.1f ns per element\n", taken * 1e9 / (kRows * kWidth));
}

}  // namespace

}  // namespace embedcore::cuda
