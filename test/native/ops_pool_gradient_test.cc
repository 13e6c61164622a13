// pool_gradient of ops/pool.h.
#include "gradient_check.h"
#include "ops/pool.h"

namespace embedcore::test {
namespace {

class PoolGradientTest : public OpTest {};
EMBEDCORE_EVERY_BACKEND(PoolGradientTest);

struct Inputs {
  explicit Inputs(const PoolCase& c)
      : spec(c),
        offsets(offsets_of(c.lengths)),
        texts(static_cast<int64_t>(c.lengths.size())),
        x(offsets.back(), c.width, c.gap),
        dy(texts, c.width, c.gap),
        before(offsets.back(), c.width, 2 * c.gap) {
    Random random(static_cast<uint32_t>(offsets.back() + c.width));
    x.fill(random).each([](float value) { return std::round(value * 16) / 16; });  // maxima that occur more than once
    dy.fill(random);
    before.fill(random);
  }

  // The gradients of all tokens from texts begin .. end; those of other texts stay as they were.
  Rows run(const Backend& backend, Pooling mode, bool add, int64_t begin, int64_t end,
           Order order = Order::kAscending) const {
    Rows dx = before;
    OpCall call(backend, order);
    call.run(backend.pool_gradient, {.mode = mode,
                                     .x = mode == Pooling::kMax ? call.in(x) : nullptr,
                                     .x_stride = x.stride(),
                                     .dy = call.in(dy, begin),
                                     .dy_stride = dy.stride(),
                                     .dx = call.out(dx),
                                     .dx_stride = dx.stride(),
                                     .offsets = call.in(offsets, begin),
                                     .skip = spec.skip.empty() ? nullptr : call.in(spec.skip, begin),
                                     .texts = end - begin,
                                     .width = spec.width,
                                     .add = add});
    return dx;
  }

  Rows forward(Pooling mode) const {
    Rows y(texts, spec.width);
    OpCall call(reference_backend());
    call.run(reference_backend().pool, {.mode = mode,
                                        .x = call.in(x),
                                        .x_stride = x.stride(),
                                        .y = call.out(y),
                                        .y_stride = y.stride(),
                                        .offsets = call.in(offsets),
                                        .skip = spec.skip.empty() ? nullptr : call.in(spec.skip),
                                        .texts = texts,
                                        .width = spec.width});
    return y;
  }

  const PoolCase& spec;
  std::vector<int32_t> offsets;
  int64_t texts;
  Rows x, dy, before;
};

std::string name_of(const PoolCase& c, Pooling mode) {
  return "pooling " + std::to_string(static_cast<int>(mode)) + ", texts " + std::to_string(c.lengths.size()) +
         ", width " + std::to_string(c.width);
}

// The factor is rounded, and its product with dy; then the sum with what is there, and the wanted value.
TEST_P(PoolGradientTest, AgreesWithReference) {
  EMBEDCORE_NEEDS(pool_gradient);
  for (const PoolCase& c : cases(pool_cases())) {
    for (const Pooling mode : kEveryPooling) {
      for (const bool add : {false, true}) {
        SCOPED_TRACE(name_of(c, mode) + (add ? ", added" : ""));
        const Inputs inputs(c);
        const Rows wanted = inputs.run(reference_backend(), mode, add, 0, inputs.texts);
        expect_close(inputs.run(backend(), mode, add, 0, inputs.texts), wanted, [&](int64_t row, int64_t d) {
          const double size = std::abs(static_cast<double>(wanted.at(row, d)));
          const double held = add ? std::abs(static_cast<double>(inputs.before.at(row, d))) : 0.0;
          return kUnit * (2 * (size + held) + 2 * size);
        });
      }
    }
  }
}

// A text's tokens have the bits that they have when the text is alone, and no other token is written.
TEST_P(PoolGradientTest, TextsAreIndependentBitForBit) {
  EMBEDCORE_NEEDS(pool_gradient);
  for (const PoolCase& c : cases(pool_cases())) {
    for (const Pooling mode : kEveryPooling) {
      SCOPED_TRACE(name_of(c, mode));
      const Inputs inputs(c);
      const Rows all = inputs.run(backend(), mode, false, 0, inputs.texts);
      expect_same_bits(inputs.run(backend(), mode, false, 0, inputs.texts, Order::kShuffled), all);
      expect_same_bits(inputs.run(backend(), mode, false, 0, inputs.texts, Order::kThreads), all);
      for (int64_t text = 0; text < inputs.texts; ++text) {
        const Rows alone = inputs.run(backend(), mode, false, text, text + 1);
        Rows wanted = inputs.before;
        for (int64_t t = inputs.offsets[static_cast<size_t>(text)]; t < inputs.offsets[static_cast<size_t>(text) + 1];
             ++t)
          std::copy_n(all.data(t), c.width, wanted.data(t));
        expect_same_bits(alone, wanted);
      }
    }
  }
}

TEST_P(PoolGradientTest, MaximumIsTheFirstAndANaNIsGreatest) {
  EMBEDCORE_NEEDS(pool_gradient);
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN(), kInfinity = std::numeric_limits<float>::infinity();
  const PoolCase c{{5}, {1}, 6};
  Inputs inputs(c);
  const float x[5][6] = {{9, 9, 9, 9, 9, kNaN},  // left out
                         {1, 2, -0.0f, kNaN, -kInfinity, 5},
                         {3, 2, 0, 7, -kInfinity, 5},
                         {3, 1, 0, kNaN, -kInfinity, 6},
                         {2, 2, 0, 8, -kInfinity, kNaN}};
  for (int64_t t = 0; t < 5; ++t) std::copy_n(x[t], 6, inputs.x.data(t));
  constexpr int64_t kFirst[] = {2, 1, 1, 1, 1, 4};
  for (const Backend* tried : {&backend(), &reference_backend()}) {
    const Rows dx = inputs.run(*tried, Pooling::kMax, false, 0, 1);
    for (int64_t t = 0; t < 5; ++t)
      for (int64_t d = 0; d < 6; ++d)
        EXPECT_EQ(dx.at(t, d), t == kFirst[d] ? inputs.dy.at(0, d) : 0.0f)
            << tried->name << ", token " << t << ", dimension " << d;
  }
}

TEST_P(PoolGradientTest, NonFiniteGradientStaysInItsTextAndColumn) {
  EMBEDCORE_NEEDS(pool_gradient);
  const PoolCase c{{4, 3, 5}, {0, 1, 0}, 19};
  for (const Pooling mode : kEveryPooling) {
    SCOPED_TRACE(name_of(c, mode));
    Inputs inputs(c);
    const Rows clean = inputs.run(backend(), mode, false, 0, 3);
    inputs.dy.at(1, 18) = std::numeric_limits<float>::quiet_NaN();
    const Rows dx = inputs.run(backend(), mode, false, 0, 3);
    for (int64_t t = 0; t < 12; ++t)
      for (int64_t d = 0; d < c.width; ++d) {
        if (t >= 5 && t < 7 && d == 18 && clean.at(t, d) != 0)
          ASSERT_TRUE(std::isnan(dx.at(t, d))) << t;
        else
          ASSERT_EQ(dx.at(t, d), clean.at(t, d)) << "token " << t << ", dimension " << d;
      }
  }
}

// The maximum has kinks, so its rows are kept apart by more than two steps.
TEST(PoolGradient, ReferenceIsTheSlopeOfThePooling) {
  const PoolCase c{{4, 1, 3, 6}, {1, 0, 3, 2}, 5, 2};
  Inputs inputs(c);
  for (int64_t t = 0; t < inputs.x.rows(); ++t)
    for (int64_t d = 0; d < c.width; ++d) inputs.x.at(t, d) = static_cast<float>((t * 5 + d * 3) % 14) / 14;
  for (const Pooling mode : kEveryPooling) {
    SCOPED_TRACE(name_of(c, mode));
    const auto loss = [&] { return projection(inputs.dy, inputs.forward(mode)); };
    const Rows dx = inputs.run(reference_backend(), mode, false, 0, inputs.texts);
    expect_differences(inputs.x, dx, projection_rounding(inputs.dy, inputs.forward(mode)), loss, 0x1p-6f);
  }
}

}  // namespace
}  // namespace embedcore::test
