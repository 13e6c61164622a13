// ops/pool.h on every backend against the reference.
#include "ops/pool.h"

#include "op_support.h"

namespace embedcore::test {
namespace {

class PoolTest : public OpTest {};
EMBEDCORE_EVERY_BACKEND(PoolTest);

struct Inputs {
  explicit Inputs(const PoolCase& c) : spec(c), offsets(offsets_of(c.lengths)), x(offsets.back(), c.width, c.gap) {
    Random random(static_cast<uint32_t>(offsets.back() + c.width));
    x.fill(random);
  }
  Rows run(const Backend& backend, Pooling mode, int64_t begin, int64_t end, Order order = Order::kAscending) const {
    Rows y(end - begin, spec.width, spec.gap);
    OpCall call(backend, order);
    // x stays whole: offsets index its rows
    call.run(backend.pool, {.mode = mode,
                            .x = call.in(x),
                            .x_stride = x.stride(),
                            .y = call.out(y),
                            .y_stride = y.stride(),
                            .offsets = call.in(offsets, begin),
                            .skip = spec.skip.empty() ? nullptr : call.in(spec.skip, begin),
                            .texts = end - begin,
                            .width = spec.width});
    return y;
  }
  const PoolCase& spec;
  std::vector<int32_t> offsets;
  Rows x;
};

// A weighted sum of n numbers below 1 over the weights: (n + 1) u of the mean magnitude, the division, and n u for the
// weights' own sum where that is no longer exact. By the root of n the sum is that much larger. The other kinds copy.
TEST_P(PoolTest, AgreesWithReference) {
  for (const PoolCase& c : cases(pool_cases())) {
    for (const Pooling mode : kEveryPooling) {
      SCOPED_TRACE(testing::Message() << "pooling " << static_cast<int>(mode) << ", texts " << c.lengths.size()
                                      << ", width " << c.width);
      const Inputs inputs(c);
      const auto texts = static_cast<int64_t>(c.lengths.size());
      const bool copies = mode == Pooling::kCls || mode == Pooling::kMax || mode == Pooling::kLastToken;
      expect_close(
          inputs.run(backend(), mode, 0, texts), inputs.run(reference_backend(), mode, 0, texts),
          [&](int64_t text, int64_t) {
            const double n = c.lengths[static_cast<size_t>(text)];
            return copies || n == 0 ? 0.0 : kUnit * (2 * n + 4) * (mode == Pooling::kMeanSqrtLen ? std::sqrt(n) : 1.0);
          });
      expect_rows_independent(texts, [&](int64_t begin, int64_t end, Order order) {
        return inputs.run(backend(), mode, begin, end, order);
      });
    }
  }
}

TEST_P(PoolTest, NonFiniteInputStaysInItsTextAndIsSeenThere) {
  const PoolCase c{{4, 3, 5}, {}, 19};
  for (const int64_t spoiled_row : {4, 5, 6}) {
    for (const Pooling mode : kEveryPooling) {
      SCOPED_TRACE(testing::Message() << "pooling " << static_cast<int>(mode) << ", row " << spoiled_row);
      Inputs inputs(c);
      const Rows clean = inputs.run(backend(), mode, 0, 3);
      inputs.x.at(spoiled_row, 18) = std::numeric_limits<float>::quiet_NaN();
      const Rows spoiled = inputs.run(backend(), mode, 0, 3);
      const bool takes = mode == Pooling::kCls         ? spoiled_row == 4
                         : mode == Pooling::kLastToken ? spoiled_row == 6
                                                       : true;
      for (int64_t text = 0; text < 3; ++text)
        for (int64_t d = 0; d < c.width; ++d) {
          if (takes && text == 1 && d == 18)
            ASSERT_TRUE(std::isnan(spoiled.at(text, d)));
          else
            ASSERT_EQ(std::bit_cast<uint32_t>(spoiled.at(text, d)), std::bit_cast<uint32_t>(clean.at(text, d)))
                << "text " << text << ", dimension " << d;
        }
    }
  }
}

}  // namespace
}  // namespace embedcore::test
