// Conversions and approximate functions of the emulated launch layer.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "launch.h"

namespace embedcore::cuda {

namespace {

// The nearest of all 16-bit numbers, ties to the even one, by search.
template <typename T>
uint16_t nearest(double value) {
  uint16_t best = 0;
  double least = HUGE_VAL;
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float candidate = to_float(T{static_cast<uint16_t>(bits)});
    if (!std::isfinite(candidate)) continue;
    const double distance = std::fabs(candidate - value);
    if (distance < least || (distance == least && (bits & 1) == 0 && std::signbit(candidate) == std::signbit(value))) {
      least = distance;
      best = static_cast<uint16_t>(bits);
    }
  }
  return best;
}

template <typename T>
void test_rounding(double largest) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const T value{static_cast<uint16_t>(bits)};
    const float wide = to_float(value);
    if (std::isnan(wide)) {
      EXPECT_TRUE(std::isnan(to_float(from_float<T>(wide))));
    } else {
      EXPECT_EQ(from_float<T>(wide).bits, bits);
    }
  }
  std::mt19937 random(1);
  for (int i = 0; i < 20; ++i) {
    const uint16_t at = static_cast<uint16_t>(random() % (sizeof(T) == 2 && largest > 1e30 ? 0x7f00 : 0x7b00));
    const float low = to_float(T{at}), high = to_float(T{static_cast<uint16_t>(at + 1)});
    const float middle = low + (high - low) / 2;  // exact, a tie
    for (const float x : {middle, std::nextafter(middle, high), std::nextafter(middle, low), -middle})
      EXPECT_EQ(from_float<T>(x).bits, nearest<T>(x)) << x;
  }
  EXPECT_TRUE(std::isinf(to_float(from_float<T>(HUGE_VALF))));
  EXPECT_TRUE(std::isinf(to_float(from_float<T>(std::numeric_limits<float>::max()))));
  EXPECT_TRUE(std::isnan(to_float(from_float<T>(NAN))));
  EXPECT_TRUE(std::isnan(to_float(from_float<T>(emulator::float_of_bits(0x7f800001u)))));
  float low = 0, high = 0;
  unpack2<T>(pack2<T>(1.5f, -3.0f), low, high);
  EXPECT_EQ(low, 1.5f);
  EXPECT_EQ(high, -3.0f);
}

TEST(Numbers, Bf16) { test_rounding<bf16>(3e38); }
TEST(Numbers, F16) {
  test_rounding<f16>(65504);
  EXPECT_EQ(to_float(from_float<f16>(65519.0f)), 65504.0f);
  EXPECT_TRUE(std::isinf(to_float(from_float<f16>(65520.0f))));
}

TEST(Numbers, FloatToInt) {
  EXPECT_EQ(float_to_int_nearest(2.5f), 2);
  EXPECT_EQ(float_to_int_nearest(-3.5f), -4);
  EXPECT_EQ(float_to_int_nearest(3e9f), std::numeric_limits<int>::max());
  EXPECT_EQ(float_to_int_nearest(-3e9f), std::numeric_limits<int>::min());
  EXPECT_EQ(float_to_int_nearest(NAN), 0);
}

// The largest error in units in the last place, which must be allowed and must not be nothing.
template <typename Fast, typename Exact>
void test_ulps(Fast fast, Exact exact, float from, float to) {
  std::mt19937 random(2);
  std::uniform_real_distribution<float> values(from, to);
  double largest = 0;
  for (int i = 0; i < 20000; ++i) {
    const float x = values(random);
    const double expected = exact(static_cast<double>(x));
    int exponent = 0;
    std::frexp(expected, &exponent);
    largest = std::max(largest, std::fabs(fast(x) - expected) / std::ldexp(1.0, exponent - 24));
  }
  EXPECT_LE(largest, 2.0);
  EXPECT_GE(largest, 1.0);
}

TEST(Numbers, FastFunctions) {
  test_ulps([](float x) { return fast_exp2(x); }, [](double x) { return std::exp2(x); }, -100, 100);
  test_ulps([](float x) { return fast_rsqrt(x); }, [](double x) { return 1 / std::sqrt(x); }, 1e-3f, 1e5f);
  test_ulps([](float x) { return fast_divide(x, 3.7f); }, [](double x) { return x / static_cast<double>(3.7f); }, -5,
            5);
  EXPECT_EQ(fast_exp2(-HUGE_VALF), 0.0f);
  EXPECT_EQ(fast_exp2(-140.0f), 0.0f);
  EXPECT_EQ(fast_exp2(0.0f), fast_exp2(0.0f));
  std::mt19937 random(3);
  std::uniform_real_distribution<float> values(-6, 6);
  double largest = 0;
  for (int i = 0; i < 20000; ++i) {
    const float x = values(random);
    const double expected = std::tanh(static_cast<double>(x));
    largest = std::max(largest, std::fabs((fast_tanh(x) - expected) / expected));
    EXPECT_LE(std::fabs(fast_tanh(x)), 1.0f);
  }
  EXPECT_LE(largest, std::exp2(-10.9));
  EXPECT_GE(largest, std::exp2(-11.5));
}

}  // namespace

}  // namespace embedcore::cuda
