// ops/pairs.h on every backend against the reference, and the reference against finite differences.
#include "gradient_check.h"
#include "ops/pairs.h"

namespace embedcore::test {
namespace {

class PairsTest : public OpTest {};
EMBEDCORE_EVERY_BACKEND(PairsTest);

constexpr PairScore kEveryScore[] = {PairScore::kCosine, PairScore::kDot, PairScore::kEuclidean, PairScore::kManhattan,
                                     PairScore::kAngle};

struct Gradients {
  Rows da, db;
};

struct Inputs {
  explicit Inputs(const ElementCase& c)
      : a(c.rows, c.width, c.gap), b(c.rows, c.width, c.gap + 1), da(c.rows, c.width, c.gap), dscores(c.rows, 1) {
    Random random(static_cast<uint32_t>(7 * c.rows + c.width));
    a.fill(random);
    b.fill(random);
    da.fill(random);
    dscores.fill(random);
    if (c.rows > 1) std::copy_n(a.data(1), c.width, b.data(1));  // equal rows
    if (c.rows > 2) std::fill_n(a.data(2), c.width, 0.0f);       // no length
  }
  Rows scores(const Backend& backend, PairScore kind, int64_t begin, int64_t end,
              Order order = Order::kAscending) const {
    Rows result(end - begin, 1);
    OpCall call(backend, order);
    call.run(backend.pair_scores, {.kind = kind,
                                   .a = call.in(a, begin),
                                   .a_stride = a.stride(),
                                   .b = call.in(b, begin),
                                   .b_stride = b.stride(),
                                   .rows = end - begin,
                                   .width = a.width(),
                                   .epsilon = epsilon,
                                   .scores = call.out(result)});
    return result;
  }
  // Added to rows of da; with zeros, alone.
  Gradients gradients(const Backend& backend, PairScore kind, int64_t begin, int64_t end, bool zeros = false,
                      Order order = Order::kAscending) const {
    Gradients result{Rows(end - begin, a.width(), 2), Rows(end - begin, a.width(), 1)};
    for (Rows* each : {&result.da, &result.db})
      for (int64_t row = begin; row < end; ++row)
        for (int64_t d = 0; d < a.width(); ++d) each->at(row - begin, d) = zeros ? 0.0f : da.at(row, d);
    OpCall call(backend, order);
    call.run(backend.pair_gradient, {.kind = kind,
                                     .a = call.in(a, begin),
                                     .a_stride = a.stride(),
                                     .b = call.in(b, begin),
                                     .b_stride = b.stride(),
                                     .rows = end - begin,
                                     .width = a.width(),
                                     .epsilon = epsilon,
                                     .dscores = call.in(dscores, begin),
                                     .da = call.out(result.da),
                                     .da_stride = result.da.stride(),
                                     .db = call.out(result.db),
                                     .db_stride = result.db.stride()});
    return result;
  }
  Rows a, b, da, dscores;
  float epsilon = 0;
};

std::string name_of(PairScore kind, const ElementCase& c) {
  std::ostringstream text;
  text << "score " << static_cast<int>(kind) << ", rows " << c.rows << ", width " << c.width;
  return text.str();
}

struct Sizes {
  double products = 0, sums = 0, a = 0, b = 0;  // sum |a_k b_k|, sum |a_k| + |b_k|, lengths

  Sizes(const Inputs& inputs, int64_t row) {
    for (int64_t d = 0; d < inputs.a.width(); ++d) {
      const double x = std::abs(static_cast<double>(inputs.a.at(row, d))),
                   y = std::abs(static_cast<double>(inputs.b.at(row, d)));
      products += x * y;
      sums += x + y;
      a += x * x;
      b += y * y;
    }
    a = std::max(std::sqrt(a), 1e-8);
    b = std::max(std::sqrt(b), 1e-8);
  }
};

// Sums of n terms, with two operations a term; a length is off by half of that of its square. An angle adds four
// products for two elements of each row, whose sizes are at most |a| |b| each.
double score_error(PairScore kind, const Sizes& sizes, double n, double score) {
  switch (kind) {
    case PairScore::kCosine:
      return kUnit * ((n + 2) * sizes.products / (sizes.a * sizes.b) + (n + 8) * std::abs(score));
    case PairScore::kDot: return kUnit * (n + 2) * sizes.products;
    case PairScore::kEuclidean: return kUnit * (n + 6) * score + kUnit * sizes.sums;
    case PairScore::kManhattan: return kUnit * (n + 2) * score + kUnit * sizes.sums;
    case PairScore::kAngle: return kUnit * ((n + 4) * 2 + (n + 8) * std::abs(score));
  }
  return 0;
}

TEST_P(PairsTest, ScoresAgreeWithReference) {
  EMBEDCORE_NEEDS(pair_scores);
  for (const ElementCase& c : cases(kElementCases)) {
    Inputs inputs(c);
    for (const PairScore kind : kEveryScore) {
      SCOPED_TRACE(name_of(kind, c));
      inputs.epsilon = kind == PairScore::kEuclidean ? 1e-6f : kind == PairScore::kManhattan ? 1e-3f : 0.0f;
      const Rows wanted = inputs.scores(reference_backend(), kind, 0, c.rows);
      expect_close(inputs.scores(backend(), kind, 0, c.rows), wanted, [&](int64_t row, int64_t) {
        return score_error(kind, Sizes(inputs, row), static_cast<double>(c.width), wanted.at(row, 0));
      });
      expect_rows_independent(c.rows, [&](int64_t begin, int64_t end, Order order) {
        return inputs.scores(backend(), kind, begin, end, order);
      });
    }
  }
}

// A derivative of a quotient is a sum of two terms, each of at most |dscore| / |own row|; the sums before have the
// errors of the scores, which the row's elements, at most 1, spread.
double gradient_error(PairScore kind, const Inputs& inputs, int64_t row, double initial, bool of_b) {
  const Sizes sizes(inputs, row);
  const double n = static_cast<double>(inputs.a.width()),
               slope = std::abs(static_cast<double>(inputs.dscores.at(row, 0)));
  double rate = 1;
  if (kind == PairScore::kCosine || kind == PairScore::kAngle) {
    const double own = of_b ? sizes.b : sizes.a, other = of_b ? sizes.a : sizes.b;
    rate = 2 / (sizes.a * sizes.b) + (own > 1e-8 ? 2 * sizes.products / (own * own * own * other) : 0) +
           (kind == PairScore::kAngle && own > 1e-8 ? 2 / (own * own) : 0);
  }
  return kUnit * (2 * n + 20) * slope * rate + 2 * kUnit * std::abs(initial);
}

TEST_P(PairsTest, GradientsAgreeWithReference) {
  EMBEDCORE_NEEDS(pair_gradient);
  for (const ElementCase& c : cases(kElementCases)) {
    Inputs inputs(c);
    for (const PairScore kind : kEveryScore) {
      SCOPED_TRACE(name_of(kind, c));
      inputs.epsilon = kind == PairScore::kManhattan ? 1e-3f : 0.0f;
      const Gradients wanted = inputs.gradients(reference_backend(), kind, 0, c.rows);
      const Gradients got = inputs.gradients(backend(), kind, 0, c.rows);
      expect_close(got.da, wanted.da, [&](int64_t row, int64_t d) {
        return gradient_error(kind, inputs, row, inputs.da.at(row, d), false);
      });
      expect_close(got.db, wanted.db, [&](int64_t row, int64_t d) {
        return gradient_error(kind, inputs, row, inputs.da.at(row, d), true);
      });
      expect_rows_independent(c.rows, [&](int64_t begin, int64_t end, Order order) {
        const Gradients part = inputs.gradients(backend(), kind, begin, end, false, order);
        Rows both(end - begin, 2 * c.width);
        for (int64_t row = 0; row < end - begin; ++row) {
          std::copy_n(part.da.data(row), c.width, both.data(row));
          std::copy_n(part.db.data(row), c.width, both.data(row) + c.width);
        }
        return both;
      });
    }
  }
}

// Equal rows have no direction, and rows without length no angle.
TEST_P(PairsTest, WithoutDerivativeThereIsNoGradient) {
  EMBEDCORE_NEEDS(pair_gradient);
  const ElementCase c{3, 21};
  const Inputs inputs(c);
  for (const PairScore kind : {PairScore::kEuclidean, PairScore::kManhattan}) {
    const Gradients got = inputs.gradients(backend(), kind, 1, 2, true);
    for (int64_t d = 0; d < c.width; ++d) EXPECT_EQ(got.da.at(0, d), 0) << static_cast<int>(kind);
  }
  const Gradients got = inputs.gradients(backend(), PairScore::kAngle, 2, 3, true);
  for (int64_t d = 0; d < c.width; ++d) EXPECT_EQ(got.da.at(0, d), 0);
  EXPECT_EQ(inputs.scores(backend(), PairScore::kAngle, 2, 3).at(0, 0), 0);
  EXPECT_EQ(inputs.scores(backend(), PairScore::kCosine, 2, 3).at(0, 0), 0);
}

TEST_P(PairsTest, GradientsThatAreNotWantedAreNotWritten) {
  EMBEDCORE_NEEDS(pair_gradient);
  const Inputs inputs({4, 19});
  for (const PairScore kind : kEveryScore) {
    const Gradients both = inputs.gradients(backend(), kind, 0, 4, true);
    for (const bool of_b : {false, true}) {
      Rows one(4, 19);
      one.each([](float) { return 0.0f; });
      OpCall call(backend());
      call.run(backend().pair_gradient, {.kind = kind,
                                         .a = call.in(inputs.a),
                                         .a_stride = inputs.a.stride(),
                                         .b = call.in(inputs.b),
                                         .b_stride = inputs.b.stride(),
                                         .rows = 4,
                                         .width = 19,
                                         .dscores = call.in(inputs.dscores),
                                         .da = of_b ? nullptr : call.out(one),
                                         .da_stride = 19,
                                         .db = of_b ? call.out(one) : nullptr,
                                         .db_stride = 19});
      for (int64_t row = 0; row < 4; ++row)
        for (int64_t d = 0; d < 19; ++d) EXPECT_EQ(one.at(row, d), (of_b ? both.db : both.da).at(row, d));
    }
  }
}

TEST(PairsReference, GradientsAreFiniteDifferences) {
  for (const ElementCase& c : {ElementCase{3, 5}, ElementCase{2, 8}}) {
    for (const PairScore kind : kEveryScore) {
      SCOPED_TRACE(name_of(kind, c));
      Inputs inputs(c);
      Random random(3);
      inputs.a.fill(random, 0.5, 1);  // far from each other and from zero, where scores have no second derivative
      inputs.b.fill(random, -1, -0.5);
      const Gradients gradients = inputs.gradients(reference_backend(), kind, 0, c.rows, true);
      const auto loss = [&] { return projection(inputs.dscores, inputs.scores(reference_backend(), kind, 0, c.rows)); };
      const double rounding = projection_rounding(inputs.dscores, inputs.scores(reference_backend(), kind, 0, c.rows));
      expect_differences(inputs.a, gradients.da, rounding, loss);
      expect_differences(inputs.b, gradients.db, rounding, loss);
    }
  }
}

struct Error {
  Rows loss, dx;
};
Error squared_error(const Backend& backend, const Inputs& inputs, int64_t begin, int64_t end,
                    Order order = Order::kAscending) {
  Error result{Rows(end - begin, 1), Rows(end - begin, inputs.a.width(), 3)};
  for (int64_t row = begin; row < end; ++row)
    std::copy_n(inputs.da.data(row), inputs.a.width(), result.dx.data(row - begin));
  OpCall call(backend, order);
  call.run(backend.squared_error, {.x = call.in(inputs.a, begin),
                                   .x_stride = inputs.a.stride(),
                                   .target = call.in(inputs.b, begin),
                                   .target_stride = inputs.b.stride(),
                                   .rows = end - begin,
                                   .width = inputs.a.width(),
                                   .weight = 0.75f,
                                   .loss = call.out(result.loss),
                                   .dx = call.out(result.dx),
                                   .dx_stride = result.dx.stride()});
  return result;
}

// Differences and squares round, the sum adds n terms of one sign.
TEST_P(PairsTest, SquaredErrorAgreesWithReference) {
  EMBEDCORE_NEEDS(squared_error);
  for (const ElementCase& c : cases(kElementCases)) {
    SCOPED_TRACE(name_of(PairScore::kDot, c));
    const Inputs inputs(c);
    const Error wanted = squared_error(reference_backend(), inputs, 0, c.rows);
    const Error got = squared_error(backend(), inputs, 0, c.rows);
    expect_close(got.loss, wanted.loss, [&](int64_t row, int64_t) {
      return kUnit * (static_cast<double>(c.width) + 4) * wanted.loss.at(row, 0);
    });
    expect_close(got.dx, wanted.dx, [&](int64_t row, int64_t d) {
      return kUnit * (3 * 2 * 0.75 * 2 + 2 * std::abs(wanted.dx.at(row, d)));  // of differences of at most 2
    });
    expect_rows_independent(c.rows, [&](int64_t begin, int64_t end, Order order) {
      return squared_error(backend(), inputs, begin, end, order).dx;
    });
    expect_rows_independent(c.rows, [&](int64_t begin, int64_t end, Order order) {
      return squared_error(backend(), inputs, begin, end, order).loss;
    });
  }
}

}  // namespace
}  // namespace embedcore::test
