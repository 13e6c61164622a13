// ops/optimizer.h: axpby, sum_squares and adamw.
#include "ops/optimizer.h"

#include "gradient_check.h"

namespace embedcore::test {
namespace {

class AxpbyTest : public OpTest {};
EMBEDCORE_EVERY_BACKEND(AxpbyTest);
class SumSquaresTest : public OpTest {};
EMBEDCORE_EVERY_BACKEND(SumSquaresTest);
class AdamWTest : public OpTest {};
EMBEDCORE_EVERY_BACKEND(AdamWTest);

// Around vectors, chains, runs and tasks.
constexpr int64_t kElements[] = {0, 1, 3, 15, 16, 17, 31, 33, 100, 4095, 4096, 4097, 16383, 16385, 50000};

Rows random_row(int64_t elements, uint32_t seed, double low = -1, double high = 1) {
  Random random(seed);
  return std::move(Rows(1, elements).fill(random, low, high));
}

struct Factors {
  float alpha, beta;
  bool has_x = true, in_place = false;
};
constexpr Factors kFactors[] = {{1, 1},
                                {0.5f, -2},
                                {1.0f / 3, 0},
                                {-2.7f, 1},
                                {5, 0.3f, false},
                                {5, 0, false},
                                {0.3f, 0.4f, true, true},
                                {2, 0, true, true}};

// Of elements begin .. end of rows.
Rows axpby(const Backend& backend, const Rows& x, const Rows& y, const Factors& f, int64_t begin, int64_t end,
           Order order = Order::kAscending) {
  Rows part(1, end - begin);
  std::copy(y.data() + begin, y.data() + end, part.data());
  OpCall call(backend, order);
  float* const to = call.out(part);
  Rows own(1, end - begin);
  std::copy(x.data() + begin, x.data() + end, own.data());
  call.run(backend.axpby, {.x = !f.has_x     ? nullptr
                                : f.in_place ? to
                                             : call.in(own),
                           .y = to,
                           .elements = end - begin,
                           .alpha = f.alpha,
                           .beta = f.beta});
  return part;
}

// Two products and a sum, of which one product may be exact in a fused addition.
TEST_P(AxpbyTest, AgreesWithReferenceInAnyOrderAndInParts) {
  EMBEDCORE_NEEDS(axpby);
  for (const int64_t n : kElements) {
    for (const Factors& f : kFactors) {
      SCOPED_TRACE(testing::Message() << n << " elements, " << f.alpha << ", " << f.beta << (f.has_x ? "" : ", no x")
                                      << (f.in_place ? ", in place" : ""));
      const Rows y = random_row(n, 1), x = f.in_place ? y : random_row(n, 2);
      const Rows wanted = axpby(reference_backend(), x, y, f, 0, n), all = axpby(backend(), x, y, f, 0, n);
      expect_close(all, wanted, [&](int64_t, int64_t i) {
        const double sizes = std::abs(f.alpha * x.at(0, i)) + std::abs(f.beta * y.at(0, i));
        return kUnit * (sizes + 2 * std::abs(wanted.at(0, i)));
      });
      expect_same_bits(axpby(backend(), x, y, f, 0, n, Order::kShuffled), all);
      expect_same_bits(axpby(backend(), x, y, f, 0, n, Order::kThreads), all);
      if (n < 2) continue;
      const Rows end = axpby(backend(), x, y, f, n / 2 + 1, n);
      for (int64_t i = 0; i < end.width(); ++i) ASSERT_EQ(end.at(0, i), all.at(0, n / 2 + 1 + i));
    }
  }
}

TEST_P(AxpbyTest, DoesNotReadYWithoutBeta) {
  EMBEDCORE_NEEDS(axpby);
  const Rows x = random_row(40, 1), y = std::move(Rows(1, 40).each([](float) { return std::nanf(""); }));
  for (const Backend* tried : {&backend(), &reference_backend()}) {
    const Rows scaled = axpby(*tried, x, y, {2, 0}, 0, 40), zero = axpby(*tried, x, y, {2, 0, false}, 0, 40),
               spoiled = axpby(*tried, x, y, {2, 1}, 0, 40);
    for (int64_t i = 0; i < 40; ++i) {
      EXPECT_EQ(scaled.at(0, i), 2 * x.at(0, i));
      EXPECT_EQ(zero.at(0, i), 0.0f);
      EXPECT_TRUE(std::isnan(spoiled.at(0, i)));
    }
  }
}

// Into a sum that holds 0.5 already.
double sum_squares(const Backend& backend, const Rows& x, bool add = false, Order order = Order::kAscending) {
  std::vector<double> sum = {0.5};
  OpCall call(backend, order);
  call.run(backend.sum_squares, {.x = call.in(x), .elements = x.width(), .sum = call.out(sum), .add = add});
  return sum[0];
}

// Squares are exact in double and the order of the additions is part of the contract: the same bits everywhere.
TEST_P(SumSquaresTest, HasTheBitsOfTheReference) {
  EMBEDCORE_NEEDS(sum_squares);
  for (const int64_t n : {0, 1, 15, 31, 32, 33, 64, 65, 4095, 4096, 4097, 8192, 100000, 1024 * 4096 + 4129}) {
    for (const double size : {1.0, 1e-30, 3e38}) {
      SCOPED_TRACE(testing::Message() << n << " elements of size " << size);
      const Rows x = random_row(n, static_cast<uint32_t>(n), -size, size);
      for (const bool add : {false, true}) {
        const double wanted = sum_squares(reference_backend(), x, add);
        for (const Order order : {Order::kAscending, Order::kShuffled, Order::kThreads})
          ASSERT_EQ(std::bit_cast<uint64_t>(sum_squares(backend(), x, add, order)), std::bit_cast<uint64_t>(wanted));
      }
    }
  }
}

TEST_P(SumSquaresTest, ValuesThatAreNotFiniteAreSeen) {
  EMBEDCORE_NEEDS(sum_squares);
  for (const int64_t at : {0, 17, 4100, 9999}) {
    Rows x = random_row(10000, 3);
    x.at(0, at) = -std::numeric_limits<float>::infinity();
    EXPECT_EQ(sum_squares(backend(), x), std::numeric_limits<double>::infinity());
    x.at(0, at) = std::numeric_limits<float>::quiet_NaN();
    EXPECT_TRUE(std::isnan(sum_squares(backend(), x)));
  }
}

// Against a plain sum in long double: 4,096 / 32 + 5 additions in a run, then one for each run.
TEST(SumSquares, ReferenceIsTheSum) {
  const Rows x = random_row(70000, 4);
  long double sum = 0;
  for (int64_t i = 0; i < x.width(); ++i) sum += static_cast<long double>(x.at(0, i)) * x.at(0, i);
  const auto wanted = static_cast<double>(sum);
  EXPECT_NEAR(sum_squares(reference_backend(), x), wanted, wanted * 0x1p-53 * (4096 / 32 + 5 + 18));
  EXPECT_NEAR(sum_squares(reference_backend(), x, true), wanted + 0.5, wanted * 0x1p-53 * (4096 / 32 + 5 + 19));
}

// A clipped gradient's norm may be summed over several blocks; cut between runs, the sum is the same.
TEST(SumSquares, CanBeContinuedBetweenRuns) {
  const Rows x = random_row(5 * kSumRun + 100, 5);
  for (const Backend* tried : host_backends()) {
    double whole = 0, parts = 0;
    TestStream stream;
    expect_ok(tried->sum_squares(stream, {.x = x.data(), .elements = x.width(), .sum = &whole}), stream);
    expect_ok(tried->sum_squares(stream, {.x = x.data(), .elements = 2 * kSumRun, .sum = &parts}), stream);
    expect_ok(
        tried->sum_squares(
            stream, {.x = x.data() + 2 * kSumRun, .elements = x.width() - 2 * kSumRun, .sum = &parts, .add = true}),
        stream);
    EXPECT_EQ(parts, whole) << tried->name;
  }
}

// --- AdamW ---

struct State {
  Rows values, gradients, first, second;
  explicit State(int64_t n)
      : values(random_row(n, 1)),
        gradients(random_row(n, 2)),
        first(random_row(n, 3)),
        second(random_row(n, 4, 0, 1)) {}
};

constexpr AdamWArgs kSettings{.rate = 1e-3,
                              .beta1 = 0.9,
                              .beta2 = 0.999,
                              .epsilon = 1e-8,
                              .decay = 0.01,
                              .correction1 = 0.4,
                              .correction2 = 0.02,
                              .gradient_factor = 0.37f};

State stepped(const Backend& backend, const State& before, AdamWArgs args, Order order = Order::kAscending) {
  State state = before;
  OpCall call(backend, order);
  args.elements = state.values.width();
  args.values = call.out(state.values);
  args.gradients = call.in(state.gradients);
  args.first = call.out(state.first);
  args.second = call.out(state.second);
  call.run(backend.adamw, args);
  return state;
}

void expect_same_state(const State& a, const State& b) {
  expect_same_bits(a.values, b.values);
  expect_same_bits(a.first, b.first);
  expect_same_bits(a.second, b.second);
}

// Roundings in float32: the first moment has that of the clipped gradient, the difference, the share and the sum; the
// second, whose terms are all positive, 5 of itself with the constants'; the update half of these, and 6 for the root,
// the corrections, the quotient and the rate.
TEST_P(AdamWTest, AgreesWithReferenceInAnyOrder) {
  EMBEDCORE_NEEDS(adamw);
  for (const int64_t n : kElements) {
    SCOPED_TRACE(testing::Message() << n << " elements");
    const State before(n), wanted = stepped(reference_backend(), before, kSettings),
                           got = stepped(backend(), before, kSettings);
    const auto first_error = [&](int64_t i) {
      const double sizes = std::abs(static_cast<double>(before.gradients.at(0, i))) + std::abs(before.first.at(0, i));
      return kUnit * (0.1 * 5 * sizes + 2 * std::abs(wanted.first.at(0, i)));
    };
    expect_close(got.first, wanted.first, [&](int64_t, int64_t i) { return first_error(i); });
    expect_close(got.second, wanted.second, [&](int64_t, int64_t i) { return 6 * kUnit * wanted.second.at(0, i); });
    expect_close(got.values, wanted.values, [&](int64_t, int64_t i) {
      const double divisor = std::sqrt(static_cast<double>(wanted.second.at(0, i)) / 0.02) + 1e-8;
      const double update = 1e-3 / 0.4 / divisor;
      return update * (first_error(i) + std::abs(wanted.first.at(0, i)) * 10 * kUnit) +
             kUnit * (3 * std::abs(before.values.at(0, i)) + 2 * std::abs(wanted.values.at(0, i)));
    });
    expect_same_state(stepped(backend(), before, kSettings, Order::kShuffled), got);
    expect_same_state(stepped(backend(), before, kSettings, Order::kThreads), got);
  }
}

// Blocks may be cut anywhere, as parameter groups cut them.
TEST_P(AdamWTest, AnElementHasItsBitsAloneToo) {
  EMBEDCORE_NEEDS(adamw);
  constexpr int64_t kCount = 50;
  const State before(kCount), all = stepped(backend(), before, kSettings);
  for (int64_t i = 0; i < kCount; ++i) {
    State one(1);
    one.values.at(0, 0) = before.values.at(0, i);
    one.gradients.at(0, 0) = before.gradients.at(0, i);
    one.first.at(0, 0) = before.first.at(0, i);
    one.second.at(0, 0) = before.second.at(0, i);
    const State alone = stepped(backend(), one, kSettings);
    EXPECT_EQ(alone.values.at(0, 0), all.values.at(0, i));
    EXPECT_EQ(alone.first.at(0, 0), all.first.at(0, i));
    EXPECT_EQ(alone.second.at(0, 0), all.second.at(0, i));
  }
}

TEST_P(AdamWTest, NonFiniteGradientsStayInTheirElements) {
  EMBEDCORE_NEEDS(adamw);
  State before(70);
  const State clean = stepped(backend(), before, kSettings);
  before.gradients.at(0, 3) = std::numeric_limits<float>::quiet_NaN();
  before.gradients.at(0, 69) = std::numeric_limits<float>::infinity();
  const State got = stepped(backend(), before, kSettings);
  for (int64_t i = 0; i < 70; ++i) {
    if (i == 3 || i == 69)
      EXPECT_FALSE(std::isfinite(got.values.at(0, i)));
    else
      EXPECT_EQ(got.values.at(0, i), clean.values.at(0, i));
  }
}

}  // namespace
}  // namespace embedcore::test
