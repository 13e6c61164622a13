// The matrices of one case of ops/linear.h, run in any dtype, and the bounds on the error of its results.
#pragma once

#include <map>
#include <tuple>

#include "op_support.h"
#include "ops/linear.h"
#include "packed_weights.h"

namespace embedcore::test {

// The dtypes of the arithmetic and of the rows.
struct LinearTypes {
  DType dtype, x, y;
};

constexpr DType kArithmetics[] = {DType::kF32, DType::kF16, DType::kBF16, DType::kI8};
constexpr DType kRowTypes[] = {DType::kF32, DType::kF16, DType::kBF16};

inline bool is_supported(const Backend& backend, const LinearTypes& types) {
  const DType dtypes[] = {types.dtype, types.x, types.y};
  return supported(backend, dtypes).size() == 3;
}

// Those that a backend supports; but x and y of two kinds of 16 bits meet nowhere.
inline std::vector<LinearTypes> every_linear_types(const Backend& backend) {
  std::vector<LinearTypes> list;
  for (const DType dtype : kArithmetics)
    for (const DType x : kRowTypes)
      for (const DType y : kRowTypes)
        if (is_supported(backend, {dtype, x, y}) && (x == y || x == DType::kF32 || y == DType::kF32))
          list.push_back({dtype, x, y});
  return list;
}

inline std::string name_of(const LinearTypes& types) {
  return std::string(dtype_name(types.dtype)) + " arithmetic, x " + dtype_name(types.x) + ", y " + dtype_name(types.y);
}

struct LinearInputs {
  explicit LinearInputs(const LinearCase& c)
      : spec(c), x(c.rows, c.in, c.gap), weight(c.out, c.in), bias(1, c.out), residual(c.rows, c.out, c.gap) {
    Random random(static_cast<uint32_t>(c.rows * 31 + c.in * 7 + c.out));
    x.fill(random);
    // sums of about 1, where activations bend
    weight.fill(random, -2.5, 2.5).each([&](float w) { return w / std::sqrt(static_cast<float>(c.in)); });
    bias.fill(random);
    residual.fill(random);
  }

  LinearWeights weights(DType dtype) const {
    return {.weight = weight.data(),
            .bias = spec.bias ? bias.data() : nullptr,
            .in = spec.in,
            .out = spec.out,
            .dtype = dtype,
            .smoothing = smoothing.empty() ? nullptr : smoothing.data()};
  }

  // Rows begin .. end of the result.
  Rows run(const Backend& backend, const PackedLinear* packed, const LinearTypes& types, int64_t begin, int64_t end,
           Order order = Order::kAscending) const {
    const TypedRows from(types.x, x, begin, end);
    const bool in_place = spec.in_place && types.y == DType::kF32;  // as the residual is
    TypedRows y =
        in_place ? TypedRows(types.y, residual, begin, end) : TypedRows(types.y, end - begin, spec.out, spec.gap);
    OpCall call(backend, order);
    void* const to = call.out(y);
    call.run(backend.linear, {.weights = packed,
                              .x = call.in(from),
                              .x_stride = from.stride(),
                              .y = to,
                              .y_stride = y.stride(),
                              .rows = end - begin,
                              .activation = spec.activation,
                              .residual = in_place        ? static_cast<const float*>(to)
                                          : spec.residual ? call.in(residual, begin)
                                                          : nullptr,
                              .residual_stride = residual.stride(),
                              .x_dtype = types.x,
                              .y_dtype = types.y});
    return y.values();
  }
  Rows run(const Backend& backend, const LinearTypes& types) const {
    const PackedWeights packed(backend, weights(types.dtype));
    return run(backend, packed.weights, types, 0, spec.rows);
  }

  LinearCase spec;
  Rows x, weight, bias, residual;
  std::vector<float> smoothing;  // [in], or empty for none
};

// The tests of int8, which a device may lack.
class LinearInt8OpTest : public OpTest {
 protected:
  void SetUp() override {
    if (!backend().supports(device_of(backend()), DType::kI8)) GTEST_SKIP() << backend().name << " has no int8";
  }
};

// The reference's result in float32 rows, its sums before the activation, and the magnitudes that bound the errors of
// sums.
struct LinearWanted {
  LinearWanted(const LinearInputs& inputs, DType dtype, DType x_dtype) : y(0, 0), sums(0, 0), sizes(0, 0) {
    const LinearTypes types{dtype, x_dtype, DType::kF32};
    y = inputs.run(reference_backend(), types);
    LinearInputs plain = inputs;
    plain.spec.activation = Activation::kIdentity;
    plain.spec.residual = plain.spec.in_place = false;
    sums = plain.run(reference_backend(), types);
    if (dtype == DType::kI8) {
      plain.spec.bias = false;
      sizes = plain.run(reference_backend(), types).magnitudes();
      for (int64_t row = 0; row < sizes.rows() && inputs.spec.bias; ++row)
        for (int64_t column = 0; column < sizes.width(); ++column)
          sizes.at(row, column) += std::abs(inputs.bias.at(0, column));
    } else {
      plain.x = plain.x.magnitudes();
      plain.weight = plain.weight.magnitudes();
      plain.bias = plain.bias.magnitudes();
      sizes = plain.run(reference_backend(), types);
    }
  }
  Rows y, sums, sizes;
};

// Computed once for all backends. The case must be one of linear_cases().
inline const LinearWanted& linear_wanted(const LinearCase& c, const LinearInputs& inputs, DType dtype, DType x_dtype) {
  static std::map<std::tuple<const LinearCase*, DType, DType>, LinearWanted> known;
  return known.try_emplace({&c, dtype, x_dtype}, inputs, dtype, x_dtype).first->second;
}

// float32   A sum of n products, in any order, is within (n + 1) u of the sum of magnitudes.
// float16, bfloat16  The products are exact and the sums float32, so the same; twice that, for sums in pairs, of which
//           instructions may round the addends apart. They may also take what is below 2^-126 for zero, in each product
//           and sum.
// int8      The integer sum is exact, for levels and steps are float32 arithmetic that leaves no choice. Its rounding
// to float32, two products with
//           the steps and the addition of the bias cost a unit each of the product's and the bias's size.
inline double sum_error(DType dtype, int64_t in, double size) {
  const double n = static_cast<double>(in + 2);
  if (dtype == DType::kF32) return n * kUnit * size;
  if (dtype != DType::kI8) return n * (2 * kUnit * size + 0x1p-124);
  return 5 * kUnit * size;
}

// The activation stretches the sum's error by its slope and adds its own; adding the residual and rounding the wanted
// value cost a unit each. The rounding to 16 bits comes last: of a value that is off by all this, to the nearest.
inline void expect_linear(const Backend& backend, const Rows& got, const LinearInputs& inputs,
                          const LinearWanted& wanted, const LinearTypes& types) {
  expect_rounded_close(types.y, got, wanted.y, [&](int64_t row, int64_t column) {
    const double size = std::abs(wanted.y.at(row, column));
    return kSteepest * sum_error(types.dtype, inputs.spec.in, wanted.sizes.at(row, column)) +
           activation_error(backend, inputs.spec.activation, wanted.sums.at(row, column), types.y) +
           (inputs.spec.residual ? 3 : 2) * kUnit * size;
  });
}

}  // namespace embedcore::test
