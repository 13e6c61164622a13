// ops/dropout.h on every backend: the generator's published numbers, and masks that depend on nothing but the key.
#include "ops/dropout.h"

#include "op_support.h"

namespace embedcore::test {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN(), kInfinity = std::numeric_limits<float>::infinity();

// The known answers of Philox 4x32-10 that its authors publish with Random123 (kat_vectors).
TEST(PhiloxTest, GivesThePublishedNumbers) {
  const struct {
    uint32_t counter[4];
    uint64_t seed;
    uint32_t wanted[4];
  } known[] = {
      {{0, 0, 0, 0}, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
      {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
       0xffffffffffffffff,
       {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
      {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
       0x299f31d0a4093822,
       {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
  };
  for (const auto& k : known) {
    const PhiloxWords words = philox({{k.counter[0], k.counter[1], k.counter[2], k.counter[3]}}, k.seed);
    for (int i = 0; i < 4; ++i) EXPECT_EQ(words.word[i], k.wanted[i]) << i;
  }
}

TEST(PhiloxTest, NumbersAreTheHalvesOfTheWordsInOrder) {
  const PhiloxWords words{{0x00010000, 0x00030002, 0x00050004, 0x00070006}};
  for (int64_t c = 0; c < 24; ++c) EXPECT_EQ(dropout_number(words, c), c % 8);
}

class DropoutTest : public OpTest {
 protected:
  void SetUp() override {
    if (!backend().dropout) {
      ASSERT_FALSE(backend().host_memory) << backend().name << " has no dropout";
      GTEST_SKIP() << backend().name << " has no dropout";
    }
  }

  struct Inputs {
    Rows x;
    std::vector<RowKey> keys;
    float rate = 0.25f;
    uint64_t seed = 0x123456789abcdef0;
    uint32_t site = 7;
  };

  static Inputs inputs_of(int64_t rows, int64_t width, int64_t gap = 0) {
    Inputs inputs{Rows(rows, width, gap), {}};
    Random random(static_cast<uint32_t>(rows * 5 + width));
    inputs.x.fill(random);
    for (int64_t row = 0; row < rows; ++row)
      inputs.keys.push_back({static_cast<int32_t>(row * row % 11 * 100000007), static_cast<int32_t>(row * 3)});
    return inputs;
  }

  static Rows run(const Backend& tried, const Inputs& inputs, DType dtype, int64_t begin, int64_t end,
                  Order order = Order::kAscending, bool in_place = false) {
    const TypedRows x(dtype, inputs.x, begin, end);
    TypedRows y = in_place ? TypedRows(dtype, inputs.x, begin, end)
                           : TypedRows(dtype, end - begin, inputs.x.width(), inputs.x.stride() - inputs.x.width());
    OpCall call(tried, order);
    void* const to = call.out(y);
    call.run(tried.dropout, {.x = in_place ? to : call.in(x),
                             .x_stride = x.stride(),
                             .y = to,
                             .y_stride = y.stride(),
                             .rows = end - begin,
                             .width = inputs.x.width(),
                             .dtype = dtype,
                             .dropout = {.rate = inputs.rate,
                                         .seed = inputs.seed,
                                         .site = inputs.site,
                                         .rows = inputs.rate > 0 ? call.in(inputs.keys, begin) : nullptr}});
    return y.values();
  }
  Rows run(const Inputs& inputs, DType dtype = DType::kF32) const {
    return run(backend(), inputs, dtype, 0, inputs.x.rows());
  }
  std::vector<DType> dtypes() const {
    constexpr DType kAll[] = {DType::kF32, DType::kF16, DType::kBF16};
    return supported(backend(), kAll);
  }
};
EMBEDCORE_EVERY_BACKEND(DropoutTest);

// One product of two floats, rounded once, so nothing is left to the backend.
TEST_P(DropoutTest, HasTheBitsOfTheReference) {
  for (const int64_t width : {1, 3, 4, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 128, 384, 511, 512, 513, 1100}) {
    for (const int64_t rows : {0, 1, 2, 5, 70}) {
      for (const DType dtype : dtypes()) {
        SCOPED_TRACE(testing::Message() << "width " << width << ", rows " << rows << ", " << dtype_name(dtype));
        Inputs inputs = inputs_of(rows, width, width % 3);
        inputs.rate = width % 2 == 0 ? 0.1f : 0.5f;
        if (rows > 2 && width > 2) {
          inputs.x.at(1, 0) = inputs.x.at(1, 1) = inputs.x.at(2, 2) = kNaN;
          inputs.x.at(2, 0) = kInfinity;
          inputs.x.at(2, 1) = 1e-40f;  // below the normal floats
        }
        const Rows got = run(inputs, dtype), wanted = run(reference_backend(), inputs, dtype, 0, rows);
        for (int64_t row = 0; row < rows; ++row)
          for (int64_t c = 0; c < width; ++c) {
            if (std::isnan(wanted.at(row, c)))
              EXPECT_TRUE(std::isnan(got.at(row, c)));
            else
              ASSERT_EQ(std::bit_cast<uint32_t>(got.at(row, c)), std::bit_cast<uint32_t>(wanted.at(row, c)))
                  << "row " << row << ", column " << c;
          }
      }
    }
  }
}

TEST_P(DropoutTest, AnElementIsKeptByItsNumberAlone) {
  Inputs inputs = inputs_of(6, 100);
  inputs.x.each([](float) { return 1.0f; });
  for (const float rate : {1e-6f, 0.1f, 0.5f, 0.9f, kMostDropout}) {
    inputs.rate = rate;
    const Rows y = run(inputs);
    const uint32_t threshold = dropout_threshold(rate);
    for (int64_t row = 0; row < 6; ++row)
      for (int64_t c = 0; c < 100; ++c) {
        const RowKey key = inputs.keys[static_cast<size_t>(row)];
        const PhiloxWords words = philox({{static_cast<uint32_t>(c / 8), static_cast<uint32_t>(key.token),
                                           static_cast<uint32_t>(key.text), inputs.site}},
                                         inputs.seed);
        ASSERT_EQ(y.at(row, c),
                  dropout_number(words, c) >= threshold ? 65536.0f / static_cast<float>(65536 - threshold) : 0.0f)
            << "rate " << rate << ", row " << row << ", column " << c;
      }
  }
}

TEST_P(DropoutTest, RowsAreIndependentBitForBit) {
  for (const int64_t width : {5, 16, 72, 513}) {
    const Inputs inputs = inputs_of(90, width, 1);
    for (const DType dtype : dtypes())
      expect_rows_independent(90, [&](int64_t begin, int64_t end, Order order) {
        return run(backend(), inputs, dtype, begin, end, order);
      });
  }
}

TEST_P(DropoutTest, WorksInPlace) {
  const Inputs inputs = inputs_of(9, 77, 2);
  for (const DType dtype : dtypes())
    expect_same_bits(run(backend(), inputs, dtype, 0, 9, Order::kAscending, true), run(inputs, dtype));
}

TEST_P(DropoutTest, RateZeroCopiesAndNeedsNoKeys) {
  Inputs inputs = inputs_of(5, 21, 1);
  inputs.rate = 0;
  for (const DType dtype : dtypes()) expect_same_bits(run(inputs, dtype), TypedRows(dtype, inputs.x).values());
  expect_same_bits(run(backend(), inputs, DType::kF32, 0, 5, Order::kAscending, true), inputs.x);
}

// Each part of the key changes the mask, and the share that is kept is the rate's: of n elements within 5 standard
// deviations, sqrt(n rate (1 - rate)). The numbers are the same on every run.
TEST_P(DropoutTest, EveryPartOfTheKeyCounts) {
  Inputs plain = inputs_of(64, 256);
  plain.x.each([](float) { return 1.0f; });
  const Rows mask = run(plain);
  const auto kept = [](const Rows& y) {
    double count = 0;
    for (int64_t row = 0; row < y.rows(); ++row)
      for (int64_t c = 0; c < y.width(); ++c) count += y.at(row, c) != 0;
    return count;
  };
  const double n = 64 * 256, deviation = std::sqrt(n * 0.25 * 0.75);
  EXPECT_NEAR(kept(mask), 0.75 * n, 5 * deviation);
  std::vector<std::pair<const char*, Inputs>> changed;
  for (const char* part : {"seed low", "seed high", "site", "text", "token"}) changed.emplace_back(part, plain);
  changed[0].second.seed ^= 1;
  changed[1].second.seed ^= uint64_t{1} << 32;
  changed[2].second.site += 1;
  for (RowKey& key : changed[3].second.keys) key.text += 1000;
  for (RowKey& key : changed[4].second.keys) key.token += 1000;
  for (const auto& [part, inputs] : changed) {
    const Rows other = run(inputs);
    double equal = 0;
    for (int64_t row = 0; row < 64; ++row)
      for (int64_t c = 0; c < 256; ++c) equal += (other.at(row, c) != 0) == (mask.at(row, c) != 0);
    // Two independent masks agree with the chance 0.75^2 + 0.25^2 = 0.625.
    EXPECT_NEAR(equal, 0.625 * n, 5 * std::sqrt(n * 0.625 * 0.375)) << part;
  }
}

}  // namespace
}  // namespace embedcore::test
