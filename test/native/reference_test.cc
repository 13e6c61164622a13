// Tests of the reference backend against numbers computed by hand or known in closed form.
#include "reference/backend.h"

#include <cmath>

#include "cpu/dispatch.h"
#include "ops/activation.h"
#include "ops/embed.h"
#include "ops/fuse.h"
#include "ops/linear.h"
#include "reference/activation.h"
#include "reference_support.h"

namespace embedcore::test {
namespace {

TEST(Reference, HasItsNameAndEveryOperation) {
  const Backend& table = reference_backend();
  EXPECT_STREQ(table.name, "reference");
  EXPECT_EQ(table.version, kBackendVersion);
  for (const Backend* backend : fast_backends()) EXPECT_EQ(backend->version, kBackendVersion);
  EXPECT_EQ(cpu_backend("reference"), nullptr);
}

// Values of the functions to 10 places from tables of the normal distribution and the exponential.
TEST(Reference, Activations) {
  const auto at = [](Activation kind, double x) { return reference::activate(kind, x); };
  EXPECT_EQ(at(Activation::kIdentity, -1.25), -1.25);
  EXPECT_NEAR(at(Activation::kGelu, 1), 0.8413447461, 1e-10);
  EXPECT_NEAR(at(Activation::kGelu, -1), -0.1586552539, 1e-10);
  EXPECT_NEAR(at(Activation::kGelu, -6) / -6, 9.865876450e-10, 1e-18);
  EXPECT_NEAR(at(Activation::kGeluTanh, 1), 0.8411919906, 1e-10);
  EXPECT_NEAR(at(Activation::kSilu, 1), 0.7310585786, 1e-10);
  EXPECT_NEAR(at(Activation::kTanh, 0.5), 0.4621171573, 1e-10);
  EXPECT_NEAR(at(Activation::kSigmoid, -2), 0.1192029220, 1e-10);
  EXPECT_EQ(at(Activation::kRelu, -3), 0);
  EXPECT_EQ(at(Activation::kRelu, 3), 3);
}

TEST(Reference, Linear) {
  const Floats weight = {1, 2, 3, -1, 0, 1}, bias = {10, 20}, x = {1, 1, 2, 0, 3, -1}, residual = {100, 200, 300, 400};
  const PackedWeights packed(reference_backend(), {.weight = weight.data(), .bias = bias.data(), .in = 3, .out = 2});
  Floats y(4);
  run_linear(packed, x, y);
  EXPECT_EQ(y, (Floats{19, 21, 13, 19}));
  run_linear(packed, x, y, Activation::kIdentity, residual);
  EXPECT_EQ(y, (Floats{119, 221, 313, 419}));

  const PackedWeights unbiased(reference_backend(), {.weight = weight.data(), .in = 3, .out = 2});
  Floats one(2);
  run_linear(unbiased, Floats{0, 3, -1}, one, Activation::kRelu);
  EXPECT_EQ(one, (Floats{3, 0}));  // -1 cut
}

// Scores of ln 1, ln 2 and ln 3 give weights that are fractions.
TEST(Reference, AttentionWeighsValuesBySoftmax) {
  const float ln2 = std::log(2.0f), ln3 = std::log(3.0f);
  Floats qkv = {1, 0, 10, /**/ 0, ln2, 20, /**/ 2, ln3, 60}, y(3);
  const std::vector<int32_t> offsets = {0, 3};
  AttentionArgs args = attention_args(qkv, y, offsets, 1, 1, 1);
  TestStream stream;
  // the logarithms are rounded to float32: a few units of the last place
  const double slack = 8 * 60 * kUnit;
  expect_ok(reference_backend().attention(stream, args), stream);
  EXPECT_NEAR(y[0], (1 * 10 + 2 * 20 + 3 * 60) / 6.0, slack);
  EXPECT_NEAR(y[1], 30, slack);
  EXPECT_NEAR(y[2], (1 * 10 + 4 * 20 + 9 * 60) / 14.0, slack);

  args.scale = 0.5f;
  args.mask = Mask::kCausal;
  expect_ok(reference_backend().attention(stream, args), stream);
  EXPECT_NEAR(y[0], 10, slack);
  EXPECT_NEAR(y[1], 15, slack);
  EXPECT_NEAR(y[2], (1 * 10 + 2 * 20 + 3 * 60) / 6.0, slack);

  args.window = 1;
  expect_ok(reference_backend().attention(stream, args), stream);
  expect_rounded(y, {10, 20, 60});

  // key 0 from query 2 has the distance -2
  const Floats bias = {ln3, 0, 0, 0, 0};
  args.window = 0;
  args.scale = 0;
  args.bias = bias.data();
  args.bias_reach = 2;
  expect_ok(reference_backend().attention(stream, args), stream);
  EXPECT_NEAR(y[2], (3 * 10 + 20 + 60) / 5.0, slack);

  const int32_t prefix = 2;
  args.bias = nullptr;
  args.mask = Mask::kPrefix;
  args.prefix = &prefix;
  expect_ok(reference_backend().attention(stream, args), stream);
  expect_rounded(y, {15, 15, 30});
}

TEST(Reference, AttentionKeepsTextsApartAndSharesKeyHeads) {
  // heads 4 of key heads 2; queries are zero, so each head is the mean of its key head's values
  Floats qkv, y(3 * 4);
  for (const float token : {1.0f, 2.0f, 5.0f})
    qkv.insert(qkv.end(), {0, 0, 0, 0, token, -token, 10 * token, 100 * token});
  const std::vector<int32_t> offsets = {0, 2, 2, 3};
  TestStream stream;
  expect_ok(reference_backend().attention(stream, attention_args(qkv, y, offsets, 4, 2, 1)), stream);
  EXPECT_EQ(y, (Floats{15, 15, 150, 150, 15, 15, 150, 150, 50, 50, 500, 500}));
}

TEST(Reference, AttentionNormsAndRotatesQueriesAndKeys) {
  // head_dim 3, of which the first 2 rotate: by nothing at position 0, by a right angle at position 1
  Floats qkv = {3, 4, 5, /**/ 6, 8, 10, /**/ 1, 2, 3, /*---*/ 3, 4, 5, /**/ 6, 8, 10, /**/ 1, 2, 3}, y(6);
  const Floats cosine = {1, 0}, sine = {0, 1}, q_norm = {1, 1, 2}, k_norm = {1, 1, 1};
  const std::vector<int32_t> offsets = {0, 2};
  AttentionArgs args = attention_args(qkv, y, offsets, 1, 1, 3);
  args.rope_cos = cosine.data();
  args.rope_sin = sine.data();
  args.rotary_dim = 2;
  args.q_norm = q_norm.data();
  args.k_norm = k_norm.data();
  TestStream stream;
  expect_ok(reference_backend().attention(stream, args), stream);
  const double q = std::sqrt(50 / 3.0), k = std::sqrt(200 / 3.0);
  expect_rounded(qkv, {3 / q, 4 / q, 10 / q, 6 / k, 8 / k, 10 / k, 1, 2, 3, -4 / q, 3 / q, 10 / q, -8 / k, 6 / k,
                       10 / k, 1, 2, 3});
  expect_rounded(y, {1, 2, 3, 1, 2, 3});
}

TEST(Reference, Norm) {
  const Floats x = {1, 2, 3, 4}, weight = {1, 1, 2, 1}, bias = {0, 0, 10, 0};
  Floats y(4), mean(1, 9.0f), rstd(1);
  TestStream stream;
  NormArgs args{.kind = NormKind::kLayer,
                .x = x.data(),
                .x_stride = 4,
                .y = y.data(),
                .y_stride = 4,
                .rows = 1,
                .width = 4,
                .weight = weight.data(),
                .bias = bias.data(),
                .epsilon = 0.75f,
                .mean = mean.data(),
                .rstd = rstd.data()};
  expect_ok(reference_backend().norm(stream, args), stream);
  const double root = std::sqrt(1.25 + 0.75);
  expect_rounded(y, {-1.5 / root, -0.5 / root, 2 * 0.5 / root + 10, 1.5 / root});
  EXPECT_EQ(mean[0], 2.5f);
  expect_rounded(rstd, {1 / root});

  args.kind = NormKind::kRms;
  args.weight = args.bias = nullptr;
  args.epsilon = 1.5f;
  expect_ok(reference_backend().norm(stream, args), stream);
  expect_rounded(y, {1 / 3.0, 2 / 3.0, 1, 4 / 3.0});
  EXPECT_EQ(mean[0], 2.5f);  // an RMS norm has no mean
  expect_rounded(rstd, {1 / 3.0});
}

TEST(Reference, Embed) {
  const Floats words = {1, 2, 3, 4, 5, 6}, type = {100, 200};
  const Halves positions = halves({10, 20, 30, 40});
  const uint16_t halves_of_16[] = {0x3c00, 0xc000};  // 1, -2 in float16
  const int32_t ids[] = {2, 0}, places[] = {0, 1};
  const EmbedTable tables[] = {{.rows = words.data(), .ids = ids},
                               {.rows = positions.data(), .dtype = DType::kBF16, .ids = places},
                               {.rows = type.data()},
                               {.rows = halves_of_16, .dtype = DType::kF16}};
  Floats y(4);
  TestStream stream;
  EmbedArgs args{.tables = tables, .count = 4, .tokens = 2, .width = 2, .y = y.data(), .y_stride = 2};
  expect_ok(reference_backend().embed(stream, args), stream);
  EXPECT_EQ(y, (Floats{116, 224, 132, 240}));
  args.count = 1;
  expect_ok(reference_backend().embed(stream, args), stream);
  EXPECT_EQ(y, (Floats{5, 6, 1, 2}));
}

TEST(Reference, ActivationAndFuse) {
  const Floats x = {-1, 2, 5, 7};
  Floats y(4);
  TestStream stream;
  ActivationArgs args{.x = x.data(),
                      .x_stride = 4,
                      .y = y.data(),
                      .y_stride = 4,
                      .rows = 1,
                      .width = 4,
                      .activation = Activation::kRelu};
  expect_ok(reference_backend().activation(stream, args), stream);
  EXPECT_EQ(y, (Floats{0, 2, 5, 7}));
  args.width = 2;
  args.gated = true;
  expect_ok(reference_backend().activation(stream, args), stream);
  EXPECT_EQ(y, (Floats{0, 14, 5, 7}));

  FuseArgs fuse{
      .x = x.data(), .x_stride = 2, .y = y.data(), .y_stride = 2, .rows = 2, .width = 2, .factor = 0.5f, .first = true};
  expect_ok(reference_backend().fuse(stream, fuse), stream);
  fuse.factor = 2.0f;
  fuse.first = false;
  expect_ok(reference_backend().fuse(stream, fuse), stream);
  EXPECT_EQ(y, (Floats{-2.5, 5, 12.5, 17.5}));
}

TEST(Reference, Bag) {
  const int8_t table[] = {1, -2, 127, -128};
  const Floats scales = {0.5f, 2}, weights = {1, 0, 4};
  const int32_t rows[] = {0, 1, 1}, ids[] = {2, 0, 1}, offsets[] = {0, 2, 2, 3};
  Floats y(6);
  TestStream stream;
  expect_ok(reference_backend().bag(stream, {.rows = rows,
                                             .ids = ids,
                                             .offsets = offsets,
                                             .texts = 3,
                                             .width = 2,
                                             .table = table,
                                             .dtype = DType::kI8,
                                             .scales = scales.data(),
                                             .weights = weights.data(),
                                             .y = y.data(),
                                             .y_stride = 2}),
            stream);
  EXPECT_EQ(y, (Floats{(2 + 254) / 2.0f, (-4 - 256) / 2.0f, 0, 0, 0, 0}));
  const uint16_t halves[] = {0x3c00, 0xc000, 0x3555, 0x0001};  // 1, -2, 0.333251953125, 2^-24
  expect_ok(reference_backend().bag(stream, {.rows = rows,
                                             .ids = rows,
                                             .offsets = offsets,
                                             .texts = 1,
                                             .width = 2,
                                             .table = halves,
                                             .dtype = DType::kF16,
                                             .y = y.data(),
                                             .y_stride = 2}),
            stream);
  expect_rounded({y[0], y[1]}, {(1 + 0.333251953125) / 2, (-2 + 0x1p-24) / 2});
}

TEST(Reference, Pool) {
  const Floats x = {1, -1, 2, 5, 6, 3};
  const int32_t offsets[] = {0, 3, 3}, one[] = {1, 0}, all[] = {3, 0};
  auto pooled = [&](Pooling mode, const int32_t* skip) {
    Floats y(4, 9.0f);
    TestStream stream;
    expect_ok(reference_backend().pool(stream, {.mode = mode,
                                                .x = x.data(),
                                                .x_stride = 2,
                                                .y = y.data(),
                                                .y_stride = 2,
                                                .offsets = offsets,
                                                .skip = skip,
                                                .texts = 2,
                                                .width = 2}),
              stream);
    EXPECT_EQ(y[2], 0);  // the empty text
    EXPECT_EQ(y[3], 0);
    return Floats{y[0], y[1]};
  };
  EXPECT_EQ(pooled(Pooling::kCls, nullptr), (Floats{1, -1}));
  EXPECT_EQ(pooled(Pooling::kCls, one), (Floats{2, 5}));
  EXPECT_EQ(pooled(Pooling::kLastToken, one), (Floats{6, 3}));
  EXPECT_EQ(pooled(Pooling::kMax, nullptr), (Floats{6, 5}));
  expect_rounded(pooled(Pooling::kMean, nullptr), {3, 7 / 3.0});
  EXPECT_EQ(pooled(Pooling::kMean, one), (Floats{4, 4}));
  expect_rounded(pooled(Pooling::kMeanSqrtLen, nullptr), {9 / std::sqrt(3.0), 7 / std::sqrt(3.0)});
  expect_rounded(pooled(Pooling::kWeightedMean, nullptr), {(1 + 4 + 18) / 6.0, (-1 + 10 + 9) / 6.0});
  expect_rounded(pooled(Pooling::kWeightedMean, one),
                 {(4 + 18) / 5.0, (10 + 9) / 5.0});  // counted from the text's first token
  for (const Pooling mode : kEveryPooling) EXPECT_EQ(pooled(mode, all), (Floats{0, 0}));
}

TEST(Reference, Vectors) {
  Floats x = {3, 4, 0, 0, 1e-13f, 0};
  TestStream stream;
  expect_ok(reference_backend().normalize(stream, {.x = x.data(), .stride = 2, .rows = 3, .width = 2}), stream);
  expect_rounded({x[0], x[1], x[2], x[3], x[5]}, {0.6, 0.8, 0, 0, 0});
  EXPECT_NEAR(x[4], 0.1, 0.1 * 2 * kUnit);

  const Floats a = {3, 4}, b = {4, 3, 0, -5};
  auto compared = [&](Similarity kind) {
    Floats y(2);
    expect_ok(
        reference_backend().similarity(
            stream, {.kind = kind, .a = a.data(), .b = b.data(), .rows_a = 1, .rows_b = 2, .width = 2, .y = y.data()}),
        stream);
    return y;
  };
  expect_rounded(compared(Similarity::kCosine), {0.96, -0.8});
  EXPECT_EQ(compared(Similarity::kDot), (Floats{24, -20}));
  expect_rounded(compared(Similarity::kEuclidean), {-std::sqrt(2.0), -std::sqrt(90.0)});
  EXPECT_EQ(compared(Similarity::kManhattan), (Floats{-2, -12}));
}

TEST(Reference, Quantize) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  //                0       1      2        3       4      5        6      7      8
  const Floats x = {0, 1.0f, 254.9f, 255.0f, -1.0f, 300.0f, nan, 2.5f, 7.0f};
  const Floats minimum(9, 0.0f);
  Floats maximum(9, 255.0f);
  maximum[8] = 0;  // no range: a step of 1
  const auto quantized = [&](Precision precision) {
    const bool bits = precision == Precision::kBinary || precision == Precision::kUbinary;
    std::vector<uint8_t> y(bits ? 2 : 9);
    TestStream stream;
    expect_ok(reference_backend().quantize(stream, {.precision = precision,
                                                    .x = x.data(),
                                                    .rows = 1,
                                                    .width = 9,
                                                    .minimum = bits ? nullptr : minimum.data(),
                                                    .maximum = bits ? nullptr : maximum.data(),
                                                    .y = y.data()}),
              stream);
    return y;
  };
  EXPECT_EQ(quantized(Precision::kUint8), (std::vector<uint8_t>{0, 1, 254, 255, 0, 255, 0, 2, 7}));
  const std::vector<uint8_t> levels = quantized(Precision::kInt8);
  EXPECT_EQ(static_cast<int8_t>(levels[0]), -128);
  EXPECT_EQ(static_cast<int8_t>(levels[5]), 127);
  EXPECT_EQ(quantized(Precision::kUbinary), (std::vector<uint8_t>{0b01110101, 0b10000000}));
  const std::vector<uint8_t> bits = quantized(Precision::kBinary);
  EXPECT_EQ(static_cast<int8_t>(bits[0]), 0b01110101 - 128);
  EXPECT_EQ(static_cast<int8_t>(bits[1]), 0);
}

}  // namespace
}  // namespace embedcore::test
