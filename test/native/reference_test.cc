// The judge judged: the reference backend against numbers worked out by hand or known in closed form.
#include "reference/backend.h"

#include <cmath>

#include "ops/fuse.h"
#include "ops/embed.h"
#include "ops/gate.h"
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
  PackedLinear* packed = reference_backend().pack_linear({weight.data(), bias.data(), 3, 2});
  Floats y(4);
  TestStream stream;
  expect_ok(reference_backend().linear(stream, {packed, x.data(), 3, y.data(), 2, 2, Activation::kIdentity, nullptr, 0}),
            stream);
  EXPECT_EQ(y, (Floats{19, 21, 13, 19}));
  expect_ok(reference_backend().linear(
                stream, {packed, x.data(), 3, y.data(), 2, 2, Activation::kIdentity, residual.data(), 2}),
            stream);
  EXPECT_EQ(y, (Floats{119, 221, 313, 419}));
  reference_backend().free_linear(packed);

  packed = reference_backend().pack_linear({weight.data(), nullptr, 3, 2});
  expect_ok(reference_backend().linear(stream, {packed, x.data() + 3, 3, y.data(), 2, 1, Activation::kRelu, nullptr, 0}),
            stream);
  EXPECT_EQ(y[0], 3);
  EXPECT_EQ(y[1], 0);  // -1 cut
  reference_backend().free_linear(packed);
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
  Floats y(4);
  TestStream stream;
  expect_ok(reference_backend().norm(
                stream, {NormKind::kLayer, x.data(), 4, y.data(), 4, 1, 4, weight.data(), bias.data(), 0.75f}),
            stream);
  const double root = std::sqrt(1.25 + 0.75);
  expect_rounded(y, {-1.5 / root, -0.5 / root, 2 * 0.5 / root + 10, 1.5 / root});
  expect_ok(reference_backend().norm(stream, {NormKind::kRms, x.data(), 4, y.data(), 4, 1, 4, nullptr, nullptr, 1.5f}),
            stream);
  expect_rounded(y, {1 / 3.0, 2 / 3.0, 1, 4 / 3.0});
}

TEST(Reference, EmbedGateCombine) {
  const Floats word = {1, 2, 3, 4, 5, 6}, position = {10, 20, 30, 40}, type = {100, 200};
  const int32_t ids[] = {2, 0}, positions[] = {0, 1};
  Floats y(4);
  TestStream stream;
  expect_ok(
      reference_backend().embed(stream, {ids, positions, 2, 2, word.data(), position.data(), type.data(), y.data(), 2}),
      stream);
  EXPECT_EQ(y, (Floats{115, 226, 131, 242}));

  const Floats x = {-1, 2, 5, 7};
  expect_ok(reference_backend().gate(stream, {x.data(), 4, y.data(), 2, 1, 2, Activation::kRelu}), stream);
  EXPECT_EQ(y[0], 0);
  EXPECT_EQ(y[1], 14);

  expect_ok(reference_backend().fuse(stream, {x.data(), 2, y.data(), 2, 2, 2, 0.5f, true}), stream);
  expect_ok(reference_backend().fuse(stream, {x.data(), 2, y.data(), 2, 2, 2, 2.0f, false}), stream);
  EXPECT_EQ(y, (Floats{-2.5, 5, 12.5, 17.5}));
}

TEST(Reference, Bag) {
  const int8_t table[] = {1, -2, 127, -128};
  const Floats scales = {0.5f, 2}, weights = {1, 0, 4};
  const int32_t rows[] = {0, 1, 1}, ids[] = {2, 0, 1}, offsets[] = {0, 2, 2, 3};
  Floats y(6);
  TestStream stream;
  expect_ok(reference_backend().bag(
                stream, {rows, ids, offsets, 3, 2, table, DType::kI8, scales.data(), weights.data(), y.data(), 2}),
            stream);
  EXPECT_EQ(y, (Floats{(2 + 254) / 2.0f, (-4 - 256) / 2.0f, 0, 0, 0, 0}));
  const uint16_t halves[] = {0x3c00, 0xc000, 0x3555, 0x0001};  // 1, -2, 0.333251953125, 2^-24
  expect_ok(
      reference_backend().bag(stream, {rows, rows, offsets, 1, 2, halves, DType::kF16, nullptr, nullptr, y.data(), 2}),
      stream);
  expect_rounded({y[0], y[1]}, {(1 + 0.333251953125) / 2, (-2 + 0x1p-24) / 2});
}

TEST(Reference, Pool) {
  const Floats x = {1, -1, 2, 5, 6, 3};
  const int32_t offsets[] = {0, 3, 3}, one[] = {1, 0}, all[] = {3, 0};
  auto pooled = [&](Pooling mode, const int32_t* skip) {
    Floats y(4, 9.0f);
    TestStream stream;
    expect_ok(reference_backend().pool(stream, {mode, x.data(), 2, y.data(), 2, offsets, skip, 2, 2}), stream);
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
  expect_ok(reference_backend().normalize(stream, {x.data(), 2, 3, 2}), stream);
  expect_rounded({x[0], x[1], x[2], x[3], x[5]}, {0.6, 0.8, 0, 0, 0});
  EXPECT_NEAR(x[4], 0.1, 0.1 * 2 * kUnit);

  const Floats a = {3, 4}, b = {4, 3, 0, -5};
  auto compared = [&](Similarity kind) {
    Floats y(2);
    expect_ok(reference_backend().similarity(stream, {kind, a.data(), b.data(), 1, 2, 2, y.data()}), stream);
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
  TestStream stream;
  std::vector<uint8_t> levels(9), bits(2);
  expect_ok(reference_backend().quantize(
                stream, {Precision::kUint8, x.data(), 1, 9, minimum.data(), maximum.data(), levels.data()}),
            stream);
  EXPECT_EQ(levels, (std::vector<uint8_t>{0, 1, 254, 255, 0, 255, 0, 2, 7}));
  expect_ok(reference_backend().quantize(
                stream, {Precision::kInt8, x.data(), 1, 9, minimum.data(), maximum.data(), levels.data()}),
            stream);
  EXPECT_EQ(static_cast<int8_t>(levels[0]), -128);
  EXPECT_EQ(static_cast<int8_t>(levels[5]), 127);
  expect_ok(reference_backend().quantize(stream, {Precision::kUbinary, x.data(), 1, 9, nullptr, nullptr, bits.data()}),
            stream);
  EXPECT_EQ(bits, (std::vector<uint8_t>{0b01110101, 0b10000000}));
  expect_ok(reference_backend().quantize(stream, {Precision::kBinary, x.data(), 1, 9, nullptr, nullptr, bits.data()}),
            stream);
  EXPECT_EQ(static_cast<int8_t>(bits[0]), 0b01110101 - 128);
  EXPECT_EQ(static_cast<int8_t>(bits[1]), 0);
}

}  // namespace
}  // namespace embedcore::test
