// norm_gradient and norm_weight_gradient of ops/norm.h.
#include "gradient_check.h"
#include "ops/norm.h"

namespace embedcore::test {
namespace {

class NormGradientTest : public OpTest {};
EMBEDCORE_EVERY_BACKEND(NormGradientTest);
class NormWeightGradientTest : public OpTest {};
EMBEDCORE_EVERY_BACKEND(NormWeightGradientTest);

constexpr NormKind kKinds[] = {NormKind::kLayer, NormKind::kRms};

struct Inputs {
  Inputs(const NormCase& c, NormKind of)
      : spec(c), kind(of), x(c.rows, c.width, c.gap), dy(c.rows, c.width, 2 * c.gap) {
    Random random(static_cast<uint32_t>(c.rows * 17 + c.width));
    x.fill(random, c.offset - c.size, c.offset + c.size);
    dy.fill(random);
    before.fill(random);
    weight.fill(random, 0.5, 1.5);
    bias.fill(random);
    dweight.fill(random);
    dbias.fill(random);
    forward();
  }

  // Of the reference; keeps mean and rstd.
  Rows forward() {
    Rows y(spec.rows, spec.width);
    OpCall call(reference_backend());
    call.run(reference_backend().norm, {.kind = kind,
                                        .x = call.in(x),
                                        .x_stride = x.stride(),
                                        .y = call.out(y),
                                        .y_stride = y.stride(),
                                        .rows = spec.rows,
                                        .width = spec.width,
                                        .weight = spec.weight ? call.in(weight) : nullptr,
                                        .bias = spec.bias ? call.in(bias) : nullptr,
                                        .epsilon = spec.epsilon,
                                        .mean = call.out(mean),
                                        .rstd = call.out(rstd)});
    return y;
  }

  // With in_place of the case, dx is dy; it is added to what there is where `add` is set.
  Rows gradient(const Backend& backend, bool add, int64_t begin, int64_t end, Order order = Order::kAscending) const {
    const Rows& from = spec.in_place ? dy : before;
    Rows dx(end - begin, spec.width, from.stride() - spec.width);
    for (int64_t row = begin; row < end; ++row) std::copy_n(from.data(row), spec.width, dx.data(row - begin));
    OpCall call(backend, order);
    float* const to = call.out(dx);
    call.run(backend.norm_gradient, {.kind = kind,
                                     .x = call.in(x, begin),
                                     .x_stride = x.stride(),
                                     .dy = spec.in_place ? to : call.in(dy, begin),
                                     .dy_stride = dy.stride(),
                                     .dx = to,
                                     .dx_stride = dx.stride(),
                                     .rows = end - begin,
                                     .width = spec.width,
                                     .weight = spec.weight ? call.in(weight) : nullptr,
                                     .mean = kind == NormKind::kLayer ? call.in(mean, begin) : nullptr,
                                     .rstd = call.in(rstd, begin),
                                     .add = add});
    return dx;
  }

  // Row 0: dweight, row 1: dbias, as the case has them; what is not wanted stays as it was. In parts of at most
  // `rows_per_call` rows.
  Rows weight_gradient(const Backend& backend, Order order = Order::kAscending, int64_t rows_per_call = 1 << 30) const {
    Rows weights = dweight, biases = dbias;
    int64_t begin = 0;
    do {
      OpCall call(backend, order);
      call.run(backend.norm_weight_gradient, {.kind = kind,
                                              .x = spec.weight ? call.in(x, begin) : nullptr,
                                              .x_stride = x.stride(),
                                              .dy = call.in(dy, begin),
                                              .dy_stride = dy.stride(),
                                              .rows = std::min(rows_per_call, spec.rows - begin),
                                              .width = spec.width,
                                              .mean = kind == NormKind::kLayer ? call.in(mean, begin) : nullptr,
                                              .rstd = call.in(rstd, begin),
                                              .dweight = spec.weight ? call.out(weights) : nullptr,
                                              .dbias = spec.bias ? call.out(biases) : nullptr});
    } while ((begin += rows_per_call) < spec.rows);
    Rows both(2, spec.width);
    std::copy_n(weights.data(), spec.width, both.data(0));
    std::copy_n(biases.data(), spec.width, both.data(1));
    return both;
  }

  // The magnitudes of g = dy weight, and of n as the operation makes it.
  double scaled(int64_t row, int64_t d) const {
    return std::abs(static_cast<double>(dy.at(row, d))) * (spec.weight ? static_cast<double>(weight.at(0, d)) : 1.0);
  }
  double normalised(int64_t row, int64_t d) const {
    const double center = kind == NormKind::kLayer ? mean.at(row, 0) : 0.0f;
    return std::abs((x.at(row, d) - center) * static_cast<double>(rstd.at(row, 0)));
  }

  const NormCase& spec;
  NormKind kind;
  Rows x, dy, before{spec.rows, spec.width, spec.gap}, weight{1, spec.width}, bias{1, spec.width};
  Rows mean{spec.rows, 1}, rstd{spec.rows, 1}, dweight{1, spec.width}, dbias{1, spec.width};
};

std::string name_of(const NormCase& c, NormKind kind) {
  return name_of(c) + (kind == NormKind::kRms ? ", rms" : ", layer");
}

// With u for a rounding and W for the width: g is off by u, n by 2 u (the difference is rounded as what it is, however
// large the offset), the mean of W numbers g by (W + 1) u of the mean magnitude, that of the products g n by (W + 4) u.
// The four roundings that combine them count for each of the three parts.
TEST_P(NormGradientTest, AgreesWithReference) {
  EMBEDCORE_NEEDS(norm_gradient);
  for (const NormCase& c : cases(kNormCases)) {
    for (const NormKind kind : kKinds) {
      for (const bool add : {false, true}) {
        SCOPED_TRACE(name_of(c, kind) + (add ? ", added" : ""));
        const Inputs inputs(c, kind);
        const Rows wanted = inputs.gradient(reference_backend(), add, 0, c.rows);
        const double n = static_cast<double>(c.width);
        Rows errors(c.rows, c.width);
        for (int64_t row = 0; row < c.rows; ++row) {
          double mean = 0, along = 0;
          for (int64_t d = 0; d < c.width; ++d) {
            mean += kind == NormKind::kLayer ? inputs.scaled(row, d) / n : 0;
            along += inputs.scaled(row, d) * inputs.normalised(row, d) / n;
          }
          for (int64_t d = 0; d < c.width; ++d) {
            const double parts = (1 + 4) * inputs.scaled(row, d) + (n + 1 + 4) * mean +
                                 (n + 4 + 2 + 4) * inputs.normalised(row, d) * along;
            const double held =
                add ? std::abs(static_cast<double>((c.in_place ? inputs.dy : inputs.before).at(row, d))) : 0;
            errors.at(row, d) = static_cast<float>(
                kUnit * (static_cast<double>(inputs.rstd.at(row, 0)) * parts + held + 2 * std::abs(wanted.at(row, d))));
          }
        }
        expect_close(inputs.gradient(backend(), add, 0, c.rows), wanted,
                     [&](int64_t row, int64_t d) { return errors.at(row, d); });
      }
    }
  }
}

TEST_P(NormGradientTest, RowsAreIndependentBitForBit) {
  EMBEDCORE_NEEDS(norm_gradient);
  for (const NormCase& c : cases(kNormCases)) {
    for (const NormKind kind : kKinds) {
      SCOPED_TRACE(name_of(c, kind));
      const Inputs inputs(c, kind);
      for (const bool add : {false, true})
        expect_rows_independent(c.rows, [&](int64_t begin, int64_t end, Order order) {
          return inputs.gradient(backend(), add, begin, end, order);
        });
    }
  }
}

TEST_P(NormGradientTest, NonFiniteInputStaysInItsRow) {
  EMBEDCORE_NEEDS(norm_gradient);
  const NormCase c{5, 33};
  for (const NormKind kind : kKinds) {
    for (Rows Inputs::*spoiled : {&Inputs::x, &Inputs::dy}) {
      Inputs inputs(c, kind);
      const Rows clean = inputs.gradient(backend(), false, 0, c.rows);
      (inputs.*spoiled).at(2, 32) = std::numeric_limits<float>::quiet_NaN();
      const Rows got = inputs.gradient(backend(), false, 0, c.rows);
      for (int64_t row = 0; row < c.rows; ++row)
        for (int64_t d = 0; d < c.width; ++d) {
          if (row == 2)
            ASSERT_TRUE(std::isnan(got.at(row, d)));
          else
            ASSERT_EQ(std::bit_cast<uint32_t>(got.at(row, d)), std::bit_cast<uint32_t>(clean.at(row, d)));
        }
    }
  }
}

// A chain of `rows` products, each off by 3 u (n and the product) and rounded as a sum up to `rows` times.
TEST_P(NormWeightGradientTest, AgreesWithReference) {
  EMBEDCORE_NEEDS(norm_weight_gradient);
  for (const NormCase& c : cases(kNormCases)) {
    for (const NormKind kind : kKinds) {
      SCOPED_TRACE(name_of(c, kind));
      const Inputs inputs(c, kind);
      Rows sizes(2, c.width);
      for (int64_t d = 0; d < c.width; ++d) {
        double weight = std::abs(static_cast<double>(inputs.dweight.at(0, d))),
               bias = std::abs(static_cast<double>(inputs.dbias.at(0, d)));
        for (int64_t row = 0; row < c.rows; ++row) {
          const double dy = std::abs(static_cast<double>(inputs.dy.at(row, d)));
          weight += dy * inputs.normalised(row, d);
          bias += dy;
        }
        sizes.at(0, d) = static_cast<float>(weight);
        sizes.at(1, d) = static_cast<float>(bias);
      }
      expect_close(inputs.weight_gradient(backend()), inputs.weight_gradient(reference_backend()),
                   [&](int64_t row, int64_t d) {
                     return kUnit * static_cast<double>(sizes.at(row, d)) * static_cast<double>(c.rows + 4);
                   });
    }
  }
}

// The reference rounds the sum of a call once, so that its bits depend on what is in one call.
bool sums_in_double(const Backend& backend) { return std::strcmp(backend.name, "reference-device") == 0; }

// One chain over the rows: the bits do not depend on the threads, nor on calls that the rows are divided into.
TEST_P(NormWeightGradientTest, HasTheSameBitsInAnyOrderAndInParts) {
  EMBEDCORE_NEEDS(norm_weight_gradient);
  for (const NormCase& c : cases(kNormCases)) {
    for (const NormKind kind : kKinds) {
      SCOPED_TRACE(name_of(c, kind));
      const Inputs inputs(c, kind);
      const Rows all = inputs.weight_gradient(backend());
      expect_same_bits(inputs.weight_gradient(backend(), Order::kShuffled), all);
      expect_same_bits(inputs.weight_gradient(backend(), Order::kThreads), all);
      if (sums_in_double(backend())) continue;
      expect_same_bits(inputs.weight_gradient(backend(), Order::kAscending, 1), all);
      expect_same_bits(inputs.weight_gradient(backend(), Order::kAscending, 33), all);
    }
  }
}

TEST_P(NormWeightGradientTest, NonFiniteInputStaysInItsColumn) {
  EMBEDCORE_NEEDS(norm_weight_gradient);
  const NormCase c{5, 33};
  for (const NormKind kind : kKinds) {
    Inputs inputs(c, kind);
    const Rows clean = inputs.weight_gradient(backend());
    inputs.dy.at(3, 32) = std::numeric_limits<float>::infinity();
    const Rows got = inputs.weight_gradient(backend());
    for (int64_t row = 0; row < 2; ++row)
      for (int64_t d = 0; d < c.width; ++d) ASSERT_EQ(std::isfinite(got.at(row, d)), d != 32);
    for (int64_t d = 0; d < 32; ++d) ASSERT_EQ(got.at(0, d), clean.at(0, d));
  }
}

// --- the reference against central differences of its forward pass ---

constexpr NormCase kDifferenceCases[] = {
    {3, 9, true, true, false, 2, 1e-5f},
    {2, 16, false, false, false, 0, 1e-3f, 0.5},
    {2, 5, true, false, false, 0, 0.5f, 0, 0.7},  // epsilon counts
};

TEST(NormGradient, ReferenceIsTheSlopeOfTheNorm) {
  for (const NormCase& c : kDifferenceCases) {
    for (const NormKind kind : kKinds) {
      SCOPED_TRACE(name_of(c, kind));
      Inputs inputs(c, kind);
      inputs.before.each([](float) { return 0.0f; });
      inputs.dweight.each([](float) { return 0.0f; });
      inputs.dbias.each([](float) { return 0.0f; });
      const auto loss = [&] { return projection(inputs.dy, inputs.forward()); };
      const double rounding = projection_rounding(inputs.dy, inputs.forward());
      const Rows dx = inputs.gradient(reference_backend(), true, 0, c.rows);
      const Rows dweights = inputs.weight_gradient(reference_backend());
      expect_differences(inputs.x, dx, rounding, loss);
      Rows dweight(1, c.width), dbias(1, c.width);
      std::copy_n(dweights.data(0), c.width, dweight.data());
      std::copy_n(dweights.data(1), c.width, dbias.data());
      if (c.weight) expect_differences(inputs.weight, dweight, rounding, loss);
      if (c.bias) expect_differences(inputs.bias, dbias, rounding, loss);
    }
  }
}

}  // namespace
}  // namespace embedcore::test
