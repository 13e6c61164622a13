// Shared by the tests of the operations: a test on every backend, and bounds on errors.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "op_backends.h"
#include "op_call.h"
#include "op_cases.h"
#include "op_rows.h"
#include "reference/backend.h"

namespace embedcore::test {

constexpr double kUnit = 0x1p-24;     // half the spacing of floats at 1: the relative error of one rounded operation
constexpr double kBf16Unit = 0x1p-8;  // the same of bfloat16
constexpr double kF16Unit = 0x1p-11;  // the same of float16

// The distance from a float32 of this size to the nearest bfloat16. Instructions that round to bfloat16 may treat
// values below 2^-126 as zero.
inline double bf16_rounding(double size) {
  const double least = std::max(size, static_cast<double>(std::numeric_limits<float>::min()));
  return std::ldexp(kBf16Unit, std::ilogb(least)) + 0x1p-126;
}

// The distance from a float32 of this size to the nearest float16, whose numbers below 2^-14 are multiples of 2^-24.
inline double f16_rounding(double size) { return std::ldexp(kF16Unit, std::ilogb(std::max(size, 0x1p-14))); }

// The rounding that a row's dtype adds to a float32 result.
inline double row_rounding(DType dtype, double size) {
  if (dtype == DType::kF32) return 0;
  return dtype == DType::kBF16 ? bf16_rounding(size) : f16_rounding(size);
}

// Rows of a dtype against the float32 results that were rounded to it: error(row, column) is that of a value before the
// rounding, of which float16 sends 65520 and more to infinity.
template <typename Error>
void expect_rounded_close(DType dtype, const Rows& got, const Rows& wanted, Error&& error) {
  Rows expected = wanted;
  for (int64_t row = 0; row < got.rows() && dtype == DType::kF16; ++row)
    for (int64_t column = 0; column < got.width(); ++column) {
      float& one = expected.at(row, column);
      if (std::isinf(got.at(row, column)) && std::abs(one) + error(row, column) >= 65520)
        one = std::copysign(std::numeric_limits<float>::infinity(), one);
    }
  expect_close(got, expected, [&](int64_t row, int64_t column) {
    const double before = error(row, column);
    return before + row_rounding(dtype, std::abs(static_cast<double>(wanted.at(row, column))) + before);
  });
}

// The limit of cost_of (op_cases.h) from the environment variable EMBEDCORE_TEST_MOST_COST: an emulator takes hours for
// the largest cases, and a sanitizer minutes. The reference behind the boundary of a device computes with the loops it
// is compared with: what it shows is whose memory is accessed, which small cases do as well.
inline bool is_reference(const Backend& backend) { return std::string_view(backend.name).starts_with("reference"); }
inline double most_cost(const Backend& backend) {
  const char* most = std::getenv("EMBEDCORE_TEST_MOST_COST");
  if (most && *most) return std::atof(most);
  return is_reference(backend) ? 1e6 : std::numeric_limits<double>::infinity();
}

class OpTest : public testing::TestWithParam<const Backend*> {
 protected:
  const Backend& backend() const { return *GetParam(); }

  // Those of a list whose cost is within the limit of the backend. The list must outlive the result.
  template <typename List>
  auto cases(const List& list) {
    std::vector<std::reference_wrapper<const std::remove_cvref_t<decltype(*std::begin(list))>>> within;
    for (const auto& one : list) {
      ++cases_;
      if (cost_of(one) <= most_cost(backend()))
        within.emplace_back(one);
      else
        ++left_out_;
    }
    return within;
  }

  void TearDown() override {
    if (left_out_ == 0 || is_reference(backend())) return;
    const testing::TestInfo& test = *testing::UnitTest::GetInstance()->current_test_info();
    std::printf("[ LEFT OUT ] %s.%s: %d of %d cases, which cost more than %g\n", test.test_suite_name(), test.name(),
                left_out_, cases_, most_cost(backend()));
  }

 private:
  int cases_ = 0, left_out_ = 0;
};

inline std::string backend_name(const testing::TestParamInfo<const Backend*>& info) {
  std::string name = info.param->name;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

#define EMBEDCORE_EVERY_BACKEND(suite) \
  INSTANTIATE_TEST_SUITE_P(Op, suite, testing::ValuesIn(fast_backends()), backend_name)
#define EMBEDCORE_EVERY_HOST_BACKEND(suite) \
  INSTANTIATE_TEST_SUITE_P(Host, suite, testing::ValuesIn(host_backends()), backend_name)

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

// The additional error of a CPU if the result goes into bfloat16 rows, whose rounding is 2^-8 of the value: fast paths
// use cheaper functions there. cpu/math.h states these bounds.
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

// The same of other devices: all that ops/linear.h allows, which in bfloat16 is six times as much.
inline double allowed_activation_error(Activation kind, double x, DType y_dtype) {
  const double hidden = y_dtype == DType::kBF16 ? 0x1p-10 : 0x1p-13;
  switch (kind) {
    case Activation::kIdentity:
    case Activation::kRelu: return 0;
    case Activation::kGelu:
    case Activation::kGeluTanh:
    case Activation::kSilu: return hidden * std::abs(x);
    case Activation::kTanh:
    case Activation::kSigmoid: return hidden;
  }
  return 0;
}

inline double activation_error(const Backend& backend, Activation kind, double x, DType y_dtype) {
  const double exact = activation_error(kind, x);
  if (y_dtype == DType::kF32) return exact;
  const bool as_cpu = backend.host_memory && y_dtype == DType::kBF16;
  return exact + (as_cpu ? reduced_activation_error(kind, x) : allowed_activation_error(kind, x, y_dtype));
}

// The greatest slope of the activations is gelu's, 1.129.
constexpr double kSteepest = 1.13;

}  // namespace embedcore::test
