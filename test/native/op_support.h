// What the tests of the operations share: the backends to test, matrices that notice reads and writes where there is nothing,
// scopes that run tasks in different ways, and comparisons.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "cpu/dispatch.h"
#include "reference/backend.h"

namespace embedcore::test {

constexpr double kUnit = 0x1p-24;  // half the spacing of floats at 1: the relative error of one rounded operation

// A fast path that this processor cannot run is not tested here; "plain" always is.
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

#define EMBEDCORE_EVERY_BACKEND(suite) INSTANTIATE_TEST_SUITE_P(Every, suite, testing::ValuesIn(fast_backends()), backend_name)

// Numbers that are the same on every run.
class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}
  // Uniform in [low, high); [-1, 1) has the standard deviation 0.58.
  float value(double low = -1, double high = 1) { return static_cast<float>(low + (high - low) * (static_cast<double>(engine_()) * 0x1p-32)); }
  int64_t integer(int64_t count) { return static_cast<int64_t>(engine_() % static_cast<uint64_t>(count)); }
  template <typename Element>
  void shuffle(std::vector<Element>& list) {
    std::shuffle(list.begin(), list.end(), engine_);
  }

 private:
  std::mt19937 engine_;
};

// [rows, width] with a row stride. The memory ends with the last row's last element, so that the address sanitizer sees a read beyond;
// the gaps between rows hold NaNs, so that a read of them spoils the result and a write is found by expect_gaps_kept.
class Rows {
 public:
  Rows(int64_t rows, int64_t width, int64_t gap = 0) : rows_(rows), width_(width), stride_(width + gap) {
    size_ = rows > 0 ? static_cast<size_t>((rows - 1) * stride_ + width) : 0;
    memory_.reset(new float[size_]);
    std::fill_n(memory_.get(), size_, std::bit_cast<float>(kPoison));
  }
  Rows(const Rows& other) : Rows(other.rows_, other.width_, other.stride_ - other.width_) {
    if (size_ > 0) std::memcpy(memory_.get(), other.memory_.get(), size_ * sizeof(float));
  }
  Rows(Rows&&) = default;
  Rows& operator=(Rows&&) = default;

  Rows& fill(Random& random, double low = -1, double high = 1) {
    return each([&](float) { return random.value(low, high); });
  }
  template <typename Change>
  Rows& each(Change&& change) {
    for (int64_t row = 0; row < rows_; ++row)
      for (int64_t column = 0; column < width_; ++column) at(row, column) = change(at(row, column));
    return *this;
  }
  Rows magnitudes() const { return std::move(Rows(*this).each([](float value) { return std::abs(value); })); }

  float* data(int64_t row = 0) { return memory_.get() + row * stride_; }
  const float* data(int64_t row = 0) const { return memory_.get() + row * stride_; }
  float& at(int64_t row, int64_t column) { return memory_[static_cast<size_t>(row * stride_ + column)]; }
  float at(int64_t row, int64_t column) const { return memory_[static_cast<size_t>(row * stride_ + column)]; }
  int64_t rows() const { return rows_; }
  int64_t width() const { return width_; }
  int64_t stride() const { return stride_; }

  void expect_gaps_kept() const {
    for (int64_t row = 0; row + 1 < rows_; ++row)
      for (int64_t column = width_; column < stride_; ++column)
        ASSERT_EQ(std::bit_cast<uint32_t>(at(row, column)), kPoison) << "written beyond row " << row << ", column " << column;
  }

 private:
  static constexpr uint32_t kPoison = 0x7fc0dead;
  int64_t rows_, width_, stride_;
  size_t size_ = 0;
  std::unique_ptr<float[]> memory_;
};

// All rows in order, in a shuffled order, or by four threads at once.
enum class Order { kAscending, kShuffled, kThreads };

struct TestScope : Scope {
  explicit TestScope(Order how = Order::kAscending) : Scope{}, order(how) {
    team = this;
    parallel = [](void* self, int64_t tasks, void (*body)(void*, int64_t), void* arg) { static_cast<TestScope*>(self)->run(tasks, body, arg); };
  }
  TestScope(const TestScope&) = delete;

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

inline void expect_ok(Status status, const Scope& scope) { ASSERT_EQ(status, kOk) << scope.message; }

// Every element within tolerance(row, column) of the wanted one; a NaN is within nothing.
template <typename Tolerance>
void expect_close(const Rows& got, const Rows& wanted, Tolerance&& tolerance) {
  ASSERT_EQ(got.rows(), wanted.rows());
  ASSERT_EQ(got.width(), wanted.width());
  for (int64_t row = 0; row < got.rows(); ++row) {
    for (int64_t column = 0; column < got.width(); ++column) {
      const double allowed = tolerance(row, column);
      const double error = std::abs(static_cast<double>(got.at(row, column)) - static_cast<double>(wanted.at(row, column)));
      ASSERT_TRUE(error <= allowed) << "row " << row << ", column " << column << ": " << got.at(row, column) << " instead of " << wanted.at(row, column) << ", off by "
                                    << error << ", allowed " << allowed;
    }
  }
  got.expect_gaps_kept();
}

// Rows begin .. of `all` are bit for bit the rows of `part`.
inline void expect_same_bits(const Rows& part, const Rows& all, int64_t begin = 0) {
  ASSERT_EQ(part.width(), all.width());
  ASSERT_LE(begin + part.rows(), all.rows());
  for (int64_t row = 0; row < part.rows(); ++row) {
    for (int64_t column = 0; column < part.width(); ++column) {
      const float got = part.at(row, column), wanted = all.at(begin + row, column);
      ASSERT_EQ(std::bit_cast<uint32_t>(got), std::bit_cast<uint32_t>(wanted)) << "row " << begin + row << ", column " << column << ": " << got << " and " << wanted;
    }
  }
  part.expect_gaps_kept();
}

// Runs run(begin, end, order) -> Rows for runs of rows of every kind, which must all give the bits of the whole.
template <typename Run>
void expect_rows_independent(int64_t rows, Run&& run) {
  const Rows all = run(int64_t{0}, rows, Order::kAscending);
  expect_same_bits(run(int64_t{0}, rows, Order::kShuffled), all);
  expect_same_bits(run(int64_t{0}, rows, Order::kThreads), all);
  for (int64_t row = 0; row < rows; row += row < 16 ? 1 : rows / 7 + 1) expect_same_bits(run(row, row + 1, Order::kAscending), all, row);
  for (const int64_t begin : {rows / 3, rows / 2 + 1, rows - 5})
    if (begin > 0 && begin < rows) expect_same_bits(run(begin, rows, Order::kAscending), all, begin);
}

// --- activations ---

// Absolute error that one activation of a float may have; math_test.cc measures that it does not have more.
inline double activation_error(Activation kind, double x) {
  const double size = std::abs(x);
  switch (kind) {
    case Activation::kIdentity:
    case Activation::kRelu: return 0;
    case Activation::kGelu: return size * (0.5 * 5e-7 + 3 * kUnit);   // x / 2 * (1 + erf): erf is off by 5e-7 at most
    case Activation::kGeluTanh: return size * (8 * kUnit + 0.6e-7);     // x / 2 * (1 + tanh): near -1 the sum cancels, its error stays
    case Activation::kTanh: return 4 * kUnit * std::abs(std::tanh(x));  // 2 ulp
    case Activation::kSigmoid: return 10 * kUnit / (1 + std::exp(-x)) + 1e-37;  // exp's error of 1.5 ulp, three roundings; exp's lower clamp
    case Activation::kSilu: return 12 * kUnit * size / (1 + std::exp(-x)) + 1e-37 * size;
  }
  return 0;
}

// The greatest slope of the activations is gelu's, 1.129.
constexpr double kSteepest = 1.13;

}  // namespace embedcore::test
