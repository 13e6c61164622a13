// What kernels that share rows have in common: rows are summed one after the other by blocks that have many of them,
// which the operations have only where there are more than 2^31.
#include <gtest/gtest.h>

#include "device_array.h"
#include "reduce.cuh"
#include "rows.cuh"

namespace embedcore::cuda {
namespace {

// y[row] = the sum of the row, in each of its threads: one column of y a thread.
template <int kWarps>
struct SumKernel {
  static constexpr int kThreads = 256;
  static constexpr int kMinBlocks = 1;
  static constexpr Arch kArch = Arch::kAny;
  static constexpr int kThreadsARow = kWarps * kWarp, kRows = kThreads / kThreadsARow;
  struct Args {
    const float* x;
    float* y;
    int64_t rows;
  };
  GPU static void run(const Args& args) {
    each_row<kThreads, kThreadsARow>(args.rows, [&](int64_t row) {
      const int64_t at = row * kThreadsARow + thread_index() % kThreadsARow;
      args.y[at] = block_sum<kWarps>(args.x[at], 0);
    });
  }
};

template <int kWarps>
void expect_sums(int64_t rows, uint32_t blocks) {
  using Kernel = SumKernel<kWarps>;
  SCOPED_TRACE(testing::Message() << kWarps << " warps a row, " << rows << " rows, " << blocks << " blocks");
  std::vector<float> x(static_cast<size_t>(rows * Kernel::kThreadsARow));
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * 7 % 31);  // sums are exact
  const DeviceArray<float> device_x(x);
  const DeviceArray<float> device_y(x.size());
  ASSERT_EQ(run<Kernel>({.x = blocks}, kWarps * sizeof(float), {device_x.data, device_y.data, rows}), Error::kOk);
  const std::vector<float> y = device_y.get();
  for (int64_t row = 0; row < rows; ++row) {
    float sum = 0;
    for (int64_t i = 0; i < Kernel::kThreadsARow; ++i) sum += x[static_cast<size_t>(row * Kernel::kThreadsARow + i)];
    for (int64_t i = 0; i < Kernel::kThreadsARow; ++i)
      ASSERT_EQ(y[static_cast<size_t>(row * Kernel::kThreadsARow + i)], sum) << row << ", " << i;
  }
}

TEST(Rows, SumsOfSeveralRowsABlock) {
  for (const uint64_t seed : {0, 1, 2, 3}) {
    const WithSettings schedule([&](emulator::Settings& settings) { settings.seed = seed; });
    for (const uint32_t blocks : {1, 3}) {
      expect_sums<1>(29, blocks);
      expect_sums<8>(7, blocks);
    }
  }
}

}  // namespace
}  // namespace embedcore::cuda
