// similarity of ops/vectors.h on every backend against the reference.
#include "op_support.h"
#include "ops/vectors.h"

namespace embedcore::test {
namespace {

class SimilarityTest : public OpTest {};
EMBEDCORE_EVERY_BACKEND(SimilarityTest);

struct Span {
  int64_t begin, end;
};

// Of the rows a.begin .. a.end to b.begin .. b.end.
Rows similarities(const Backend& backend, Similarity kind, const Rows& a, const Rows& b, Span of_a, Span of_b,
                  Order order = Order::kAscending, int64_t gap = 0) {
  Rows y(of_a.end - of_a.begin, of_b.end - of_b.begin, gap);
  OpCall call(backend, order);
  call.run(backend.similarity, {.kind = kind,
                                .a = call.in(a, of_a.begin),
                                .b = call.in(b, of_b.begin),
                                .rows_a = y.rows(),
                                .rows_b = y.width(),
                                .width = a.width(),
                                .y = call.out(y),
                                .y_stride = gap == 0 ? 0 : y.stride()});
  return y;
}
Rows similarities(const Backend& backend, Similarity kind, const Rows& a, const Rows& b) {
  return similarities(backend, kind, a, b, {0, a.rows()}, {0, b.rows()});
}

// Around tiles of 6 rows and 8 to 64 columns, blocks of 240 rows and 512 words, pairs of 2 by 4.
struct SimilarityCase {
  int64_t rows_a, rows_b, width;
};
double cost_of(const SimilarityCase& c) {
  return static_cast<double>(c.rows_a * c.rows_b) * static_cast<double>(c.width);
}

constexpr SimilarityCase kCases[] = {{1, 1, 1},      {1, 9, 384},    {5, 3, 17},   {20, 33, 64},   {2, 2, 7},
                                     {70, 2, 31},    {0, 4, 8},      {4, 0, 8},    {7, 65, 511},   {13, 130, 512},
                                     {3, 17, 513},   {25, 63, 1030}, {1, 200, 96}, {241, 129, 33}, {481, 64, 16},
                                     {300, 260, 36}, {130, 7, 100}};

struct Inputs {
  explicit Inputs(const SimilarityCase& c) : a(c.rows_a, c.width), b(c.rows_b, c.width) {
    Random random(static_cast<uint32_t>(c.rows_a + c.rows_b + c.width));
    a.fill(random);
    b.fill(random);
    if (c.rows_b == 0) return;
    const int64_t last = c.rows_b - 1;
    if (c.rows_a > 1) std::fill_n(a.data(1), c.width, 0.0f);          // the cosine of nothing is 0
    if (c.rows_a > 2) std::copy_n(b.data(last), c.width, a.data(2));  // itself
    if (c.rows_a > 4)                                                 // near: the difference of squares would cancel
      for (int64_t d = 0; d < c.width; ++d) a.at(4, d) = b.at(0, d) * (1 + random.value(0, 1e-3));
  }
  Rows a, b;
};

std::string name_of(Similarity kind, const SimilarityCase& c) {
  std::ostringstream text;
  text << "kind " << static_cast<int>(kind) << ", " << c.rows_a << " by " << c.rows_b << " of " << c.width;
  return text.str();
}

double squares_of(const Rows& rows, int64_t row) {
  double squares = 0;
  for (int64_t d = 0; d < rows.width(); ++d) squares += std::pow(static_cast<double>(rows.at(row, d)), 2);
  return squares;
}

// n products are added; a cosine divides by two lengths, each off by half of (n + 3) u; sums of terms of one sign do
// not cancel. A distance that may come from the difference of squares is off by half of what ops/vectors.h states of
// its square, and by the root's rounding.
TEST_P(SimilarityTest, AgreesWithReference) {
  for (const SimilarityCase& c : cases(kCases)) {
    const Inputs inputs(c);
    const double n = static_cast<double>(c.width);
    std::vector<double> squares_b;
    for (int64_t j = 0; j < c.rows_b; ++j) squares_b.push_back(squares_of(inputs.b, j));
    for (const Similarity kind : kEverySimilarity) {
      SCOPED_TRACE(name_of(kind, c));
      const Rows wanted = similarities(reference_backend(), kind, inputs.a, inputs.b);
      const Rows got = similarities(backend(), kind, inputs.a, inputs.b);
      expect_close(got, wanted, [&](int64_t i, int64_t j) {
        const double value = std::abs(wanted.at(i, j));
        const double squares = squares_of(inputs.a, i) + squares_b[static_cast<size_t>(j)];
        double products = 0;
        for (int64_t d = 0; d < c.width; ++d) products += std::abs(inputs.a.at(i, d) * inputs.b.at(j, d));
        const bool near = value * value < 0.9 * kNearShare * squares;
        switch (kind) {
          case Similarity::kDot: return kUnit * (n + 2) * products;
          case Similarity::kCosine: return kUnit * (2 * n + 10);  // of at most 1
          case Similarity::kManhattan: return kUnit * (n + 4) * value;
          default: return kUnit * (near ? n + 4 : (n + 3) / kNearShare + 4) * value;
        }
      });
    }
  }
}

// The same bits from any part of the rows of a and of b, in any order of tasks, into rows with any stride.
TEST_P(SimilarityTest, EveryPairIsIndependentBitForBit) {
  for (const SimilarityCase& c : cases(kCases)) {
    const Inputs inputs(c);
    for (const Similarity kind : kEverySimilarity) {
      SCOPED_TRACE(name_of(kind, c));
      const Rows all = similarities(backend(), kind, inputs.a, inputs.b);
      const auto part = [&](Span of_a, Span of_b) {
        const Rows got = similarities(backend(), kind, inputs.a, inputs.b, of_a, of_b, Order::kAscending, 3);
        got.expect_gaps_kept();
        for (int64_t i = 0; i < got.rows(); ++i)
          for (int64_t j = 0; j < got.width(); ++j)
            ASSERT_EQ(std::bit_cast<uint32_t>(got.at(i, j)),
                      std::bit_cast<uint32_t>(all.at(of_a.begin + i, of_b.begin + j)))
                << "row " << of_a.begin + i << ", column " << of_b.begin + j;
      };
      expect_rows_independent(c.rows_a, [&](int64_t begin, int64_t end, Order order) {
        return similarities(backend(), kind, inputs.a, inputs.b, {begin, end}, {0, c.rows_b}, order);
      });
      for (const int64_t i : {int64_t{0}, c.rows_a / 2, c.rows_a - 1})
        for (const int64_t j : {int64_t{0}, c.rows_b / 2, c.rows_b - 1})
          if (i >= 0 && i < c.rows_a && j >= 0 && j < c.rows_b) part({i, i + 1}, {j, j + 1});
      part({c.rows_a / 3, c.rows_a}, {0, c.rows_b / 2});
      part({0, c.rows_a}, {c.rows_b / 3, c.rows_b});
      part({c.rows_a / 4, c.rows_a / 2}, {c.rows_b / 2, c.rows_b});
    }
  }
}

TEST_P(SimilarityTest, EqualRowsAreNoDistanceApart) {
  for (const auto& [rows, width] : {std::pair<int64_t, int64_t>{3, 7}, {70, 384}, {20, 1100}}) {
    for (const double size : {1.0, 1e-12, 1e18}) {
      Random random(static_cast<uint32_t>(width));
      Rows x(rows, width);
      x.fill(random, -size, size);
      for (const Similarity kind : {Similarity::kEuclidean, Similarity::kManhattan}) {
        const Rows y = similarities(backend(), kind, x, x);
        for (int64_t i = 0; i < rows; ++i)
          for (int64_t j = 0; j < rows; ++j)
            ASSERT_EQ(y.at(i, j) == 0, i == j) << "rows " << i << " and " << j << ", size " << size;
      }
    }
  }
}

TEST_P(SimilarityTest, RowsThatAreNotFiniteSpoilOnlyThemselves) {
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN(), kInfinity = std::numeric_limits<float>::infinity();
  const SimilarityCase c{30, 70, 37};
  const Inputs inputs(c);
  for (const Similarity kind : kEverySimilarity) {
    for (const float value : {kNaN, kInfinity, -kInfinity, 1e30f}) {
      SCOPED_TRACE(testing::Message() << name_of(kind, c) << ", " << value);
      const Rows clean = similarities(backend(), kind, inputs.a, inputs.b);
      Inputs spoiled = inputs;
      spoiled.a.at(7, 5) = spoiled.b.at(66, 36) = value;
      const Rows y = similarities(backend(), kind, spoiled.a, spoiled.b);
      const Rows exact = similarities(reference_backend(), kind, spoiled.a, spoiled.b);  // of squares in float64
      for (int64_t i = 0; i < c.rows_a; ++i) {
        for (int64_t j = 0; j < c.rows_b; ++j) {
          const float got = y.at(i, j);
          SCOPED_TRACE(testing::Message() << "row " << i << ", column " << j << ": " << got);
          if (i != 7 && j != 66) {
            ASSERT_EQ(std::bit_cast<uint32_t>(got), std::bit_cast<uint32_t>(clean.at(i, j)));
          } else if (std::isnan(value)) {
            ASSERT_TRUE(std::isnan(got));
          } else if (i == 7 && j == 66) {
            continue;
          } else if (std::isinf(value)) {
            const float other = i == 7 ? spoiled.b.at(j, 5) : spoiled.a.at(i, 36);
            if (kind == Similarity::kCosine || (kind == Similarity::kDot && other == 0))
              ASSERT_TRUE(std::isnan(got));
            else
              ASSERT_EQ(got, kind == Similarity::kDot ? value * other : -kInfinity);
          } else if (kind == Similarity::kCosine) {
            // of a length of infinity, or of one that was not squared in float32
            ASSERT_TRUE(got == 0 || got == exact.at(i, j));
          } else if (kind == Similarity::kEuclidean) {
            ASSERT_TRUE(got == -kInfinity || got == exact.at(i, j)) << exact.at(i, j);
          } else {
            ASSERT_TRUE(std::isfinite(got));
          }
        }
      }
    }
  }
}

// Of rows that are too long to square.
TEST_P(SimilarityTest, LongRowsHaveTheirDistance) {
  Rows a(1, 20), b(1, 20);
  a.each([](float) { return 0x1p70f; });
  b.each([](float) { return 0x1p70f; });
  b.at(0, 3) += 0x1p50f;
  for (const Similarity kind : {Similarity::kEuclidean, Similarity::kManhattan})
    EXPECT_EQ(similarities(backend(), kind, a, b).at(0, 0), -0x1p50f);
}

TEST_P(SimilarityTest, WithoutWidthEverythingIsEqual) {
  const Rows a(3, 0), b(20, 0);
  for (const Similarity kind : kEverySimilarity) {
    const Rows y = similarities(backend(), kind, a, b);
    for (int64_t i = 0; i < 3; ++i)
      for (int64_t j = 0; j < 20; ++j) EXPECT_EQ(y.at(i, j), 0) << static_cast<int>(kind);
  }
}

}  // namespace
}  // namespace embedcore::test
