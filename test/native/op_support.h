// Shared by the tests of the operations: the backends to test, streams that run tasks in different ways, and bounds on
// errors.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "cpu/dispatch.h"
#include "op_rows.h"
#include "reference/backend.h"

namespace embedcore::test {

constexpr double kUnit = 0x1p-24;     // half the spacing of floats at 1: the relative error of one rounded operation
constexpr double kBf16Unit = 0x1p-8;  // the same of bfloat16

// The distance from a float32 of this size to the nearest bfloat16. Instructions that round to bfloat16 may treat
// values below 2^-126 as zero.
inline double bf16_rounding(double size) {
  const double least = std::max(size, static_cast<double>(std::numeric_limits<float>::min()));
  return std::ldexp(kBf16Unit, std::ilogb(least)) + 0x1p-126;
}

// The rounding that a row's dtype adds to a float32 result.
inline double row_rounding(DType dtype, double size) { return dtype == DType::kBF16 ? bf16_rounding(size) : 0; }

// An instruction set that this processor lacks is not tested; "plain" always is.
inline std::vector<const Backend*> fast_backends() {
  std::vector<const Backend*> backends;
  for (const CpuIsa& isa : cpu_isas())
    if (isa.table) backends.push_back(isa.table);
  return backends;
}

class OpTest : public testing::TestWithParam<const Backend*> {
 protected:
  const Backend& backend() const { return *GetParam(); }
};

inline std::string backend_name(const testing::TestParamInfo<const Backend*>& info) {
  std::string name = info.param->name;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

#define EMBEDCORE_EVERY_BACKEND(suite) \
  INSTANTIATE_TEST_SUITE_P(Every, suite, testing::ValuesIn(fast_backends()), backend_name)

// All rows in order, in a shuffled order, or by four threads in parallel.
enum class Order { kAscending, kShuffled, kThreads };

struct TestStream : Stream {
  explicit TestStream(Order how = Order::kAscending) : Stream{}, order(how) {
    team = this;
    parallel = [](void* self, int64_t tasks, void (*body)(void*, int64_t), void* arg) {
      static_cast<TestStream*>(self)->run(tasks, body, arg);
    };
  }
  TestStream(const TestStream&) = delete;

  void run(int64_t tasks, void (*body)(void*, int64_t), void* arg) {
    std::vector<int64_t> list(static_cast<size_t>(tasks));
    for (int64_t task = 0; task < tasks; ++task) list[static_cast<size_t>(task)] = task;
    if (order != Order::kAscending) Random(7).shuffle(list);
    std::atomic<size_t> next{0};
    auto work = [&] {
      for (size_t i = next++; i < list.size(); i = next++) body(arg, list[i]);
    };
    if (order != Order::kThreads) return work();
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) threads.emplace_back(work);
    for (std::thread& thread : threads) thread.join();
  }

  Order order;
};

inline void expect_ok(Status status, const Stream& stream) { ASSERT_EQ(status, kOk) << stream.message; }

// Calls run(begin, end, order) -> Rows for various ranges of rows, which must all have the same bits as in the whole.
template <typename Run>
void expect_rows_independent(int64_t rows, Run&& run) {
  const Rows all = run(int64_t{0}, rows, Order::kAscending);
  expect_same_bits(run(int64_t{0}, rows, Order::kShuffled), all);
  expect_same_bits(run(int64_t{0}, rows, Order::kThreads), all);
  for (int64_t row = 0; row < rows; row += row < 16 ? 1 : rows / 7 + 1)
    expect_same_bits(run(row, row + 1, Order::kAscending), all, row);
  for (const int64_t begin : {rows / 3, rows / 2 + 1, rows - 5})
    if (begin > 0 && begin < rows) expect_same_bits(run(begin, rows, Order::kAscending), all, begin);
}

// --- activations ---

// The bound on the absolute error of one activation of a float; math_test.cc verifies it.
inline double activation_error(Activation kind, double x) {
  const double size = std::abs(x);
  switch (kind) {
    case Activation::kIdentity:
    case Activation::kRelu: return 0;
    case Activation::kGelu: return size * (0.5 * 5e-7 + 3 * kUnit);  // x / 2 * (1 + erf): erf is off by 5e-7 at most
    case Activation::kGeluTanh:
      return size * (8 * kUnit + 0.6e-7);  // x / 2 * (1 + tanh): near -1 the sum cancels, its error stays
    case Activation::kTanh: return 4 * kUnit * std::abs(std::tanh(x));  // 2 ulp
    case Activation::kSigmoid:
      return 10 * kUnit / (1 + std::exp(-x)) + 1e-37;  // exp's error of 1.5 ulp, three roundings; exp's lower clamp
    case Activation::kSilu: return 12 * kUnit * size / (1 + std::exp(-x)) + 1e-37 * size;
  }
  return 0;
}

// The additional error if the result goes into bfloat16 rows, whose rounding is 2^-8 of the value: fast paths use
// cheaper functions there. cpu/math.h states these bounds; ops/linear.h would allow six times as much.
inline double reduced_activation_error(Activation kind, double x) {
  switch (kind) {
    case Activation::kIdentity:
    case Activation::kRelu: return 0;
    case Activation::kGelu: return 8e-5 * std::abs(x);
    case Activation::kGeluTanh:
    case Activation::kSilu: return 1.5e-4 * std::abs(x);  // x times a factor between 0 and 1
    case Activation::kTanh:
    case Activation::kSigmoid: return 1.5e-4;
  }
  return 0;
}

inline double activation_error(Activation kind, double x, DType y_dtype) {
  return activation_error(kind, x) + (y_dtype == DType::kBF16 ? reduced_activation_error(kind, x) : 0);
}

// The greatest slope of the activations is gelu's, 1.129.
constexpr double kSteepest = 1.13;

}  // namespace embedcore::test
