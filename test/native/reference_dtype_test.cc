// Tests of the reference backend in float16, bfloat16 and int8, against numbers computed by hand.
#include <cmath>
#include <limits>

#include "ops/activation.h"
#include "ops/linear.h"
#include "ops/norm.h"
#include "reference/backend.h"
#include "reference_support.h"

namespace embedcore::test {
namespace {

// Between 1 and 2 bfloat16 has steps of 1/128: 1 + 1/256 is halfway and rounds down to even, 1 + 3/256 is halfway and
// rounds up to the even 1 + 2/128, 1 + 1/250 rounds up.
TEST(Reference, LinearInBfloat16RoundsBothFactors) {
  const Floats weight = {1 + 1 / 256.0f, 1, 0, /**/ 1 + 3 / 256.0f, -1, 2}, bias = {1 / 256.0f, 0},
               x = {1 + 3 / 256.0f, 1 + 1 / 256.0f, 1 + 1 / 250.0f}, residual = {1, 1};
  const PackedWeights packed(reference_backend(),
                             {.weight = weight.data(), .bias = bias.data(), .in = 3, .out = 2, .dtype = DType::kBF16});
  ASSERT_EQ(packed.status, kOk);
  EXPECT_EQ(packed.weights->dtype, DType::kBF16);
  Floats y(2);
  // x is 130/128, 1, 129/128; the bias stays 1/256: 130/128 + 1 + 1/256, and (130/128)^2 - 1 + 258/128
  run_linear(packed, x, y);
  EXPECT_EQ(y, (Floats{517 / 256.0f, 16900 / 16384.0f + 130 / 128.0f}));

  // The same of rows that are bfloat16 to begin with. The results lie between 2 and 4, where it counts in 1/64: 2.0195
  // goes to 129/64, 2.0471 to 131/64.
  const Halves x_rows = halves({130 / 128.0f, 1, 129 / 128.0f});
  Halves y_rows(2);
  run_linear(packed, x_rows, y);
  EXPECT_EQ(y, (Floats{517 / 256.0f, 16900 / 16384.0f + 130 / 128.0f}));
  run_linear(packed, x, y_rows);
  EXPECT_EQ(floats(y_rows), (Floats{129 / 64.0f, 131 / 64.0f}));
  // The residual is added before that rounding: 3.0195 goes to 193/64, 3.0471 to 195/64.
  run_linear(packed, x_rows, y_rows, Activation::kIdentity, residual);
  EXPECT_EQ(floats(y_rows), (Floats{193 / 64.0f, 195 / 64.0f}));
}

// Between 1 and 2 float16 has steps of 1/1024: 1 + 1/2048 is halfway and rounds down to even, 1 + 3/2048 is halfway and
// rounds up to the even 1 + 2/1024, 1 + 1/2000 rounds up.
TEST(Reference, LinearInFloat16RoundsBothFactors) {
  const Floats weight = {1 + 1 / 2048.0f, 1, 0, /**/ 1 + 3 / 2048.0f, -1, 2},
               x = {1 + 3 / 2048.0f, 1 + 1 / 2048.0f, 1 + 1 / 2000.0f};
  const PackedWeights packed(reference_backend(), {.weight = weight.data(), .in = 3, .out = 2, .dtype = DType::kF16});
  ASSERT_EQ(packed.status, kOk);
  EXPECT_EQ(packed.weights->dtype, DType::kF16);
  Floats y(2);
  run_linear(packed, x, y);
  // 1026/1024 + 1, and (1026/1024)^2 - 1 + 2050/1024, in units of 2^-20
  EXPECT_EQ(y, (Floats{2050 / 1024.0f, (1052676 - 1048576 + 2099200) / 1048576.0f}));

  // float16 rows before and after; between 2 and 4 they count in 1/512.
  const Rows one = std::move(Rows(1, 3).each([](float) { return 1.0f; }));
  TypedRows from(DType::kF16, one), to(DType::kF16, 1, 2);
  OpCall call(reference_backend());
  call.run(reference_backend().linear, {.weights = packed.weights,
                                        .x = call.in(from),
                                        .x_stride = 3,
                                        .y = call.out(to),
                                        .y_stride = 2,
                                        .rows = 1,
                                        .x_dtype = DType::kF16,
                                        .y_dtype = DType::kF16});
  const Rows rounded = to.values();
  EXPECT_EQ(rounded.at(0, 0), 2);
  EXPECT_EQ(rounded.at(0, 1), 1025 / 512.0f);  // 1026/1024 - 1 + 2 = 2050/1024
}

// float32 arithmetic uses bfloat16 rows exactly and rounds only its results.
TEST(Reference, LinearInFloat32TakesBfloat16Rows) {
  const Floats weight = {1 + 1 / 256.0f, 1};
  const Halves x = halves({1, 2});
  Halves y(1);
  Floats exact(1);
  const PackedWeights packed(reference_backend(), {.weight = weight.data(), .in = 2, .out = 1});
  run_linear(packed, x, exact);
  EXPECT_EQ(exact[0], 3 + 1 / 256.0f);
  run_linear(packed, x, y);
  EXPECT_EQ(floats(y)[0], 3);
}

// W, with steps of 1 and 1/254: 127, -62.5, 2 -> 127, -62, 2 and 0.5, 0.25, -0.125 -> 127, 63.5, -31.75 -> 127, 64,
// -32, halves to even.
TEST(Reference, LinearInInt8) {
  const Floats weight = {127, -62.5f, 2, /**/ 0.5f, 0.25f, -0.125f, /**/ 0, 0, 0}, bias = {1000, -1, 7};
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  const PackedWeights packed(reference_backend(),
                             {.weight = weight.data(), .bias = bias.data(), .in = 3, .out = 3, .dtype = DType::kI8});
  ASSERT_EQ(packed.status, kOk);
  EXPECT_EQ(packed.weights->dtype, DType::kI8);
  Floats y(3);
  const auto run = [&](const Floats& x) {
    run_linear(packed, x, y);
    return y;
  };
  const double step = static_cast<double>(0.5f / 127.0f);  // of W's second row
  // A step of 1 and zero at 55: levels -55, 200 and 0.5 -> 0. Sums -55 * 127 - 200 * 62 = -19385 and -55 * 127 + 200 *
  // 64 = 5815.
  expect_rounded(run({-55, 200, 0.5f}), {-19385 + 1000, 5815 * step - 1, 7});
  // All positive: 0 is the lowest level, not 5, and a step is 2. 6 is 3 steps, 5 is 2.5, which go to 2: 255 * 127 - 2 *
  // 62 + 3 * 2 = 32267, 255 * 127 + 2 * 64 - 3 * 32 = 32417.
  expect_rounded(run({510, 5, 6}), {2 * 32267 + 1000, 2 * 32417 * step - 1, 7});
  // All negative: 0 is the highest level, and a step 1/2. -0.75 is -1.5 steps, which go to -2: -255 * 127 + 2 * 62 - 2
  // = -32263, -255 * 127 - 2 * 64 + 32 = -32481.
  expect_rounded(run({-127.5f, -0.75f, -0.5f}), {-32263 / 2.0 + 1000, -32481 / 2.0 * step - 1, 7});
  // Zero at 1.5 -> 2 and the highest at 253.5 -> 254 above it, the 257th of 256 levels: it is cut to 253. The lowest,
  // -1.5, is -2. 253 * 127 + 2 * 62 = 32255, 253 * 127 - 2 * 64 = 32003.
  expect_rounded(run({253.5f, -1.5f, 0}), {32255 + 1000, 32003 * step - 1, 7});
  // No range, and a negligible one.
  EXPECT_EQ(run({0, 0, 0}), bias);
  EXPECT_EQ(run({1e-31f, -1e-31f, 1e-32f}), bias);
  for (const float value : {nan, infinity, -infinity})
    for (const float each : run({1, value, -1})) EXPECT_TRUE(std::isnan(each)) << value;

  // bfloat16 rows, before and after: -18385 is -143.63 of 128, and 5815 / 254 - 1 is 21.894, 175.15 of 1/8.
  const Halves x = halves({-55, 200, 0.5f});
  Halves y_rows(3);
  run_linear(packed, x, y_rows);
  EXPECT_EQ(floats(y_rows), (Floats{-144 * 128, 175 / 8.0f, 7}));
  const PackedWeights too_long(reference_backend(),
                               {.weight = weight.data(), .in = kMostInt8Inputs + 1, .out = 1, .dtype = DType::kI8});
  EXPECT_EQ(too_long.status, kBadArgument);
}

// Halved, doubled and times 7, W is 127, -62.5, 7 -> 127, -62, 7 and 0.5, 0.25, -0.125 with a step of 1/254 -> 127, 64,
// -32.
TEST(Reference, LinearInInt8Smoothed) {
  const Floats weight = {254, -31.25f, 1, /**/ 1, 0.125f, -0.125f / 7}, smoothing = {0.5f, 2, 7};
  const PackedWeights packed(
      reference_backend(),
      {.weight = weight.data(), .in = 3, .out = 2, .dtype = DType::kI8, .smoothing = smoothing.data()});
  ASSERT_EQ(packed.status, kOk);
  Floats y(2);
  const auto run = [&](const Floats& x) {
    run_linear(packed, x, y);
    return y;
  };
  const double step = static_cast<double>(0.5f / 127.0f);
  // x' is -55, 200 and 3, levels with a step of 1: -55 * 127 - 200 * 62 + 3 * 7 = -19364 and -55 * 127 + 200 * 64 - 3 *
  // 32 = 5719.
  expect_rounded(run({-27.5f, 400, 21}), {-19364, 5719 * step});
  // 45.5 is 6.5 sevenths, which would go to 6; but the float32 seventh is 4.5e-8 of itself too large, and 45.5 of it
  // are 6.5000005: 7.
  expect_rounded(run({-27.5f, 400, 45.5f}), {-19385 + 49, (5815 - 7 * 32) * step});
}

// The mean of 1, 2 and 4 is 149.33 / 64: bfloat16 between 2 and 4 counts in 1/64.
TEST(Reference, AttentionInBfloat16RoundsItsResults) {
  Halves qkv = halves({0, 1, 1, /**/ 0, 3, 2, /**/ 0, -5, 4}), y(3);
  const std::vector<int32_t> offsets = {0, 3};
  AttentionArgs args = attention_args(qkv, y, offsets, 1, 1, 1);
  TestStream stream;
  expect_ok(reference_backend().attention(stream, args), stream);
  EXPECT_EQ(floats(y), (Floats{149 / 64.0f, 149 / 64.0f, 149 / 64.0f}));
  args.mask = Mask::kCausal;
  expect_ok(reference_backend().attention(stream, args), stream);
  EXPECT_EQ(floats(y), (Floats{1, 1.5f, 149 / 64.0f}));
}

// q (3, 4) over its root mean square sqrt(12.5) is (0.84853, 1.13137): 217.2 / 256 and 144.8 / 128. k (-4, 3) has the
// same numbers, the first doubled: 2.26274 is 144.8 of the 1/64 that bfloat16 counts in beyond 2. Position 1 turns by a
// right angle: there q is (-145 / 128, 217 / 256) and k (-217 / 256, -145 / 64).
TEST(Reference, AttentionInBfloat16RoundsQueriesAndKeysOnceMore) {
  Halves qkv = halves({3, 4, /**/ -4, 3, /**/ 0, 1, /*---*/ 3, 4, /**/ -4, 3, /**/ 1, 0}), y(4);
  const Floats cosine = {1, 0}, sine = {0, 1}, q_norm = {1, 1}, k_norm = {2, 1};
  const std::vector<int32_t> offsets = {0, 2};
  AttentionArgs args = attention_args(qkv, y, offsets, 1, 1, 2);
  args.rope_cos = cosine.data();
  args.rope_sin = sine.data();
  args.rotary_dim = 2;
  args.q_norm = q_norm.data();
  args.k_norm = k_norm.data();
  args.scale = 38 / 64.0f;
  TestStream stream;
  expect_ok(reference_backend().attention(stream, args), stream);
  const float a = 217 / 256.0f, b = 145 / 128.0f, c = 145 / 64.0f;
  EXPECT_EQ(floats(qkv), (Floats{a, b, -c, a, 0, 1, -b, a, -a, -c, 1, 0}));
  // Query 0 has the scores 38/64 (a b - a c) and 38/64 (-a a - b c), which are 1.380358 apart: the weights 0.799049 and
  // 0.200951, 204.56 / 256 and 205.77 / 1024. (Of a q and k that were not rounded: 204.44.) Query 1: 38/64 (b c + a a)
  // and 38/64 (a b - a c), 2.520638 apart, 236.95 / 256 and 152.42 / 2048.
  EXPECT_EQ(floats(y), (Floats{206 / 1024.0f, 205 / 256.0f, 152 / 2048.0f, 237 / 256.0f}));
}

// Roots of 2 turn into 181 / 128 and 181 / 256, where float32 has 181.02 of them; 1.5 / sqrt(2) + 10 into 11.0607 =
// 176.97 / 16; -1.0607 is -135.8 / 128.
TEST(Reference, NormAndActivationInBfloat16) {
  const Floats x = {1, 2, 3, 4}, weight = {1, 2, 1, 1}, bias = {0, 0, 0, 10};
  Halves y(4);
  TestStream stream;
  expect_ok(reference_backend().norm(stream, {.kind = NormKind::kLayer,
                                              .x = x.data(),
                                              .x_stride = 4,
                                              .y = y.data(),
                                              .y_stride = 4,
                                              .rows = 1,
                                              .width = 4,
                                              .weight = weight.data(),
                                              .bias = bias.data(),
                                              .epsilon = 0.75f,
                                              .y_dtype = DType::kBF16}),
            stream);
  EXPECT_EQ(floats(y), (Floats{-136 / 128.0f, -181 / 256.0f, 181 / 512.0f, 177 / 16.0f}));

  const auto activate_in_place = [&](Halves rows, Activation activation, bool gated) {
    const auto width = static_cast<int64_t>(rows.size()) / (gated ? 2 : 1);
    expect_ok(reference_backend().activation(stream, {.x = rows.data(),
                                                      .x_stride = static_cast<int64_t>(rows.size()),
                                                      .y = rows.data(),
                                                      .y_stride = width,
                                                      .rows = 1,
                                                      .width = width,
                                                      .activation = activation,
                                                      .gated = gated,
                                                      .dtype = DType::kBF16}),
              stream);
    return floats(rows);
  };
  // relu(3) * 1.0078125 = 387 / 128 is halfway between 193 and 194 of 64, and goes to even.
  EXPECT_EQ(activate_in_place(halves({3, -1, 129 / 128.0f, 5}), Activation::kRelu, true),
            (Floats{194 / 64.0f, 0, 129 / 128.0f, 5}));
  // silu(1) = 0.7310586 is 187.15 of 256
  EXPECT_EQ(activate_in_place(halves({1, 1}), Activation::kSilu, true), (Floats{187 / 256.0f, 1}));
  EXPECT_EQ(activate_in_place(halves({1, -3}), Activation::kSilu, false), (Floats{187 / 256.0f, -146 / 1024.0f}));
}

}  // namespace
}  // namespace embedcore::test
