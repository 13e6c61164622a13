// ops/norm.h on every backend against the reference, into float32, float16 and bfloat16 rows.
#include "ops/norm.h"

#include "op_support.h"

namespace embedcore::test {
namespace {

class NormTest : public OpTest {};
EMBEDCORE_EVERY_BACKEND(NormTest);

struct Inputs {
  explicit Inputs(const NormCase& c) : spec(c), x(c.rows, c.width, c.gap), weight(1, c.width), bias(1, c.width) {
    Random random(static_cast<uint32_t>(c.rows * 31 + c.width));
    x.fill(random, c.offset - c.size, c.offset + c.size);
    weight.fill(random, 0.5, 1.5);
    bias.fill(random);
  }

  // Mean and rstd of each row are kept in the columns of `kept` where it is not null.
  Rows run(const Backend& backend, NormKind kind, DType y_dtype, int64_t begin, int64_t end,
           Order order = Order::kAscending, Rows* kept = nullptr) const {
    const bool in_place = spec.in_place && y_dtype == DType::kF32;  // as x is
    TypedRows y = in_place ? TypedRows(y_dtype, x, begin, end) : TypedRows(y_dtype, end - begin, spec.width, spec.gap);
    Rows mean(1, end - begin), rstd(1, end - begin);
    OpCall call(backend, order);
    void* const to = call.out(y);
    call.run(backend.norm, {.kind = kind,
                            .x = in_place ? static_cast<const float*>(to) : call.in(x, begin),
                            .x_stride = x.stride(),
                            .y = to,
                            .y_stride = y.stride(),
                            .rows = end - begin,
                            .width = spec.width,
                            .weight = spec.weight ? call.in(weight) : nullptr,
                            .bias = spec.bias ? call.in(bias) : nullptr,
                            .epsilon = spec.epsilon,
                            .y_dtype = y_dtype,
                            .mean = kept ? call.out(mean) : nullptr,
                            .rstd = kept ? call.out(rstd) : nullptr});
    for (int64_t row = 0; kept && row < end - begin; ++row) {
      kept->at(row, 0) = kind == NormKind::kLayer ? mean.at(0, row) : 0.0f;
      kept->at(row, 1) = rstd.at(0, row);
    }
    return y.values();
  }

  const NormCase& spec;
  Rows x, weight, bias;
};

constexpr NormKind kKinds[] = {NormKind::kLayer, NormKind::kRms};
constexpr DType kDTypes[] = {DType::kF32, DType::kF16, DType::kBF16};

std::string name_of(const NormCase& c, NormKind kind, DType y_dtype) {
  return name_of(c) + (kind == NormKind::kRms ? ", rms, " : ", layer, ") + dtype_name(y_dtype);
}

// The mean of n numbers in float32 is off by m = n u mean|x| at most. That shifts every difference and, squared, the
// variance; the sum of n squares adds (n + 3) u, of which the root takes half. Four roundings end it, and that to
// 16 bits where y has them. mean and rstd are off by what they put into that.
TEST_P(NormTest, AgreesWithReference) {
  for (const NormCase& c : cases(kNormCases)) {
    for (const NormKind kind : kKinds) {
      const Inputs inputs(c);
      Rows wanted_kept(c.rows, 2), kept(c.rows, 2), kept_errors(c.rows, 2);
      const Rows wanted =
          inputs.run(reference_backend(), kind, DType::kF32, 0, c.rows, Order::kAscending, &wanted_kept);
      const double n = static_cast<double>(c.width);
      Rows errors(c.rows, c.width);
      for (int64_t row = 0; row < c.rows; ++row) {
        double mean = 0, size = 0, variance = 0;
        for (int64_t d = 0; d < c.width; ++d)
          mean += inputs.x.at(row, d) / n, size += std::abs(inputs.x.at(row, d)) / n;
        if (kind == NormKind::kRms) mean = size = 0;
        for (int64_t d = 0; d < c.width; ++d)
          variance += (inputs.x.at(row, d) - mean) * (inputs.x.at(row, d) - mean) / n;
        variance += static_cast<double>(c.epsilon);
        const double mean_error = (n + 1) * kUnit * size;
        const double root_error = 0.5 * ((n + 3) * kUnit + mean_error * mean_error / variance) + 2 * kUnit;
        kept_errors.at(row, 0) = static_cast<float>(mean_error + kUnit * std::abs(mean));
        kept_errors.at(row, 1) = static_cast<float>((root_error + 2 * kUnit) / std::sqrt(variance));
        for (int64_t d = 0; d < c.width; ++d) {
          const double weight = c.weight ? inputs.weight.at(0, d) : 1.0;
          const double value = std::abs(inputs.x.at(row, d) - mean) / std::sqrt(variance);
          errors.at(row, d) =
              static_cast<float>(weight * (mean_error / std::sqrt(variance) + value * (root_error + 4 * kUnit)) +
                                 2 * kUnit * std::abs(wanted.at(row, d)));
        }
      }
      for (const DType y_dtype : supported(backend(), kDTypes)) {
        SCOPED_TRACE(name_of(c, kind, y_dtype));
        const Rows y = inputs.run(backend(), kind, y_dtype, 0, c.rows, Order::kAscending, &kept);
        expect_rounded_close(y_dtype, y, wanted, [&](int64_t row, int64_t column) { return errors.at(row, column); });
        expect_close(kept, wanted_kept, [&](int64_t row, int64_t column) { return kept_errors.at(row, column); });
        expect_same_bits(inputs.run(backend(), kind, y_dtype, 0, c.rows), y);
      }
    }
  }
}

TEST_P(NormTest, RowsAreIndependentBitForBit) {
  for (const NormCase& c : cases(kNormCases)) {
    for (const NormKind kind : kKinds) {
      for (const DType y_dtype : supported(backend(), kDTypes)) {
        SCOPED_TRACE(name_of(c, kind, y_dtype));
        const Inputs inputs(c);
        expect_rows_independent(c.rows, [&](int64_t begin, int64_t end, Order order) {
          return inputs.run(backend(), kind, y_dtype, begin, end, order);
        });
        expect_rows_independent(c.rows, [&](int64_t begin, int64_t end, Order order) {
          Rows kept(end - begin, 2);
          inputs.run(backend(), kind, y_dtype, begin, end, order, &kept);
          return kept;
        });
      }
    }
  }
}

TEST_P(NormTest, NonFiniteInputStaysInItsRow) {
  const NormCase c{5, 33};
  for (const NormKind kind : kKinds) {
    for (const DType y_dtype : supported(backend(), kDTypes)) {
      SCOPED_TRACE(name_of(c, kind, y_dtype));
      Inputs inputs(c);
      const Rows clean = inputs.run(backend(), kind, y_dtype, 0, c.rows);
      inputs.x.at(2, 32) = std::numeric_limits<float>::quiet_NaN();
      const Rows spoiled = inputs.run(backend(), kind, y_dtype, 0, c.rows);
      for (int64_t row = 0; row < c.rows; ++row) {
        for (int64_t column = 0; column < c.width; ++column) {
          if (row == 2)
            ASSERT_TRUE(std::isnan(spoiled.at(row, column)));
          else
            ASSERT_EQ(std::bit_cast<uint32_t>(spoiled.at(row, column)), std::bit_cast<uint32_t>(clean.at(row, column)));
        }
      }
    }
  }
}

}  // namespace
}  // namespace embedcore::test
