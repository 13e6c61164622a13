// The kernels of Word2Vec: each instruction set against the reference, and the reference against the derivative of its
// loss.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "cpu/dispatch.h"
#include "ops/word_kernels.h"

namespace embedcore {
namespace {

// Rows of `width` floats, aligned as the contract wants; the last three are padding.
struct Case {
  Case(int64_t row_count, int64_t row_width, unsigned seed)
      : count(row_count), width(row_width), memory(static_cast<size_t>((count + 2) * width + 16)) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0.0f, 0.4f);
    const auto place = reinterpret_cast<uintptr_t>(memory.data());
    float* begin = memory.data() + (64 - place % 64) % 64 / sizeof(float);
    h = begin;
    e = begin + width;
    for (int64_t j = 0; j < count; ++j) {
      rows.push_back(begin + (j + 2) * width);
      labels.push_back(j == 0 ? 1.0f : 0.0f);
    }
    for (int64_t j = 0; j < count + 2; ++j)
      for (int64_t d = 0; d < width; ++d) begin[j * width + d] = j != 1 && d < width - 3 ? normal(random) : 0.0f;
  }
  Case(const Case&) = delete;
  int64_t count, width;
  std::vector<float> memory;
  float *h, *e;
  std::vector<float*> rows;
  std::vector<float> labels;
};

// A sum of `width` products of about 0.16 and `count` products of the rate: float32 rounds each to 2^-24 of itself.
double bound(const Case& test) { return 1e-6 * std::sqrt(static_cast<double>(test.width + test.count)); }

void expect_near(const float* found, const float* expected, const Case& test) {
  for (int64_t d = 0; d < test.width; ++d) EXPECT_NEAR(found[d], expected[d], bound(test)) << "column " << d;
  for (int64_t d = test.width - 3; d < test.width; ++d) EXPECT_EQ(found[d], 0.0f) << "padding, column " << d;
}

TEST(WordKernels, EveryInstructionSetAgreesWithTheReference) {
  int tried = 0;
  for (const CpuIsa& isa : cpu_isas()) {
    if (!isa.words) continue;
    SCOPED_TRACE(isa.name);
    ++tried;
    for (const int64_t width : {16, 32, 48, 112, 128, 304})
      for (const int64_t count : {1, 2, 6, 11, 17, 40}) {
        SCOPED_TRACE(std::to_string(count) + " rows of " + std::to_string(width));
        Case ours(count, width, 7), expected(count, width, 7);
        const float loss =
            isa.words->step(ours.h, ours.rows.data(), ours.labels.data(), count, 0.5f, ours.e, width, true);
        const float right = kReferenceWordKernels.step(expected.h, expected.rows.data(), expected.labels.data(), count,
                                                       0.5f, expected.e, width, true);
        EXPECT_NEAR(loss, right, 1e-5 * count);
        expect_near(ours.e, expected.e, ours);
        for (int64_t j = 0; j < count; ++j) expect_near(ours.rows[j], expected.rows[j], ours);
        isa.words->gather(ours.rows.data(), count, 0.25f, ours.h, width);
        kReferenceWordKernels.gather(expected.rows.data(), count, 0.25f, expected.h, width);
        expect_near(ours.h, expected.h, ours);
        isa.words->scatter(ours.rows.data(), count, 0.5f, ours.e, width);
        kReferenceWordKernels.scatter(expected.rows.data(), count, 0.5f, expected.e, width);
        for (int64_t j = 0; j < count; ++j) expect_near(ours.rows[j], expected.rows[j], ours);
      }
  }
  EXPECT_GE(tried, 1);
}

// loss = -sum_j log sigmoid(+-h . v_j) in float64; the step is -rate times its derivative, all of it at the old values.
TEST(WordKernels, TheStepIsTheDerivativeOfTheLoss) {
  const Case before(6, 32, 11);
  const auto loss = [&](const std::vector<double>& h, const std::vector<std::vector<double>>& rows) {
    double sum = 0;
    for (size_t j = 0; j < rows.size(); ++j) {
      double score = 0;
      for (size_t d = 0; d < h.size(); ++d) score += h[d] * rows[j][d];
      sum += std::log1p(std::exp(before.labels[j] == 1.0f ? -score : score));
    }
    return sum;
  };
  std::vector<double> h(before.h, before.h + before.width);
  std::vector<std::vector<double>> rows;
  for (const float* row : before.rows) rows.emplace_back(row, row + before.width);
  // Central differences: off by step^2 / 6 of the third derivative, and by 2^-52 / step of the loss.
  const double step = 1e-5, close = 1e-6, rate = 0.25;
  const auto derivative = [&](double& value) {
    const double old = value;
    value = old + step;
    const double above = loss(h, rows);
    value = old - step;
    const double below = loss(h, rows);
    value = old;
    return (above - below) / (2 * step);
  };
  for (const WordKernels* kernels : {&kReferenceWordKernels, cpu_isas().back().words}) {
    Case after(6, 32, 11);
    const float found =
        kernels->step(after.h, after.rows.data(), after.labels.data(), after.count, 0.25f, after.e, after.width, true);
    EXPECT_NEAR(found, loss(h, rows), 1e-5);
    for (size_t d = 0; d < h.size(); ++d) {
      EXPECT_NEAR(after.e[d], -rate * derivative(h[d]), close);
      for (size_t j = 0; j < rows.size(); ++j)
        EXPECT_NEAR(after.rows[j][d] - rows[j][d], -rate * derivative(rows[j][d]), close);
    }
  }
}

TEST(WordKernels, ARowThatComesTwiceIsUpdatedTwice) {
  for (const CpuIsa& isa : cpu_isas()) {
    if (!isa.words) continue;
    Case ours(2, 32, 3), expected(2, 32, 3);
    ours.rows[1] = ours.rows[0];
    expected.rows[1] = expected.rows[0];
    isa.words->step(ours.h, ours.rows.data(), ours.labels.data(), 2, 0.5f, ours.e, 32, false);
    kReferenceWordKernels.step(expected.h, expected.rows.data(), expected.labels.data(), 2, 0.5f, expected.e, 32,
                               false);
    expect_near(ours.rows[0], expected.rows[0], ours);
    expect_near(ours.e, expected.e, ours);
  }
}

// exp(-x) overflows in float32 from 88 on.
TEST(WordKernels, LargeScoresStayFinite) {
  for (const CpuIsa& isa : cpu_isas()) {
    if (!isa.words) continue;
    Case test(3, 16, 5);
    std::fill(test.h, test.h + 13, 100.0f);
    for (float* row : test.rows) std::fill(row, row + 13, 100.0f);
    test.rows[0][0] = -1e6f;
    isa.words->step(test.h, test.rows.data(), test.labels.data(), 3, 0.5f, test.e, 16, true);
    for (int64_t d = 0; d < 16; ++d) EXPECT_TRUE(std::isfinite(test.e[d]) && std::isfinite(test.rows[1][d]));
  }
}

}  // namespace
}  // namespace embedcore
