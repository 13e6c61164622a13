// ops/checks.h on every backend: arguments against the contracts, and dtypes that a device lacks, are refused with a
// sentence, and nothing is written.
#include "attention_inputs.h"
#include "op_refusal.h"
#include "ops/activation.h"
#include "ops/attention.h"
#include "ops/embed.h"
#include "ops/fuse.h"
#include "ops/linear.h"
#include "ops/norm.h"
#include "ops/pool.h"
#include "ops/vectors.h"
#include "packed_weights.h"

namespace embedcore::test {
namespace {

class OpsRefusalTest : public RefusalTest {};
EMBEDCORE_EVERY_BACKEND(OpsRefusalTest);

TEST_P(OpsRefusalTest, Linear) {
  const std::vector<float> weight(12 * 8, 1.0f);
  const PackedWeights packed(backend(), {.weight = weight.data(), .in = 8, .out = 12});
  std::vector<std::pair<Change<LinearArgs>, std::string>> changes = {
      {[](LinearArgs& a) { a.weights = nullptr; }, "Expected memory for the weights of linear but received null"},
      {[](LinearArgs& a) { a.x = nullptr; }, "Expected memory for x of linear but received null"},
      {[](LinearArgs& a) { a.y = nullptr; }, "Expected memory for y of linear but received null"},
      {[](LinearArgs& a) { a.rows = -1; }, "Expected at least 0 for rows of linear but received -1"},
      {[](LinearArgs& a) { a.x_stride = 7; }, "Expected a stride of at least 8 for x of linear but received 7"},
      {[](LinearArgs& a) { a.y_stride = 11; }, "Expected a stride of at least 12 for y of linear but received 11"},
      {[](LinearArgs& a) {
         a.residual = static_cast<const float*>(a.y);
         a.residual_stride = 0;
       },
       "Expected a stride of at least 12 for the residual of linear but received 0"},
      {[](LinearArgs& a) { a.activation = static_cast<Activation>(7); },
       "Expected 0 to 6 for the activation of linear but received 7"},
  };
  changes.push_back(
      {[](LinearArgs& a) { a.lora_parts = 2; }, "Expected memory for the LoRA parts of linear but received null"});
  if (!backend().dropout)  // ops_refusal_linear_test.cc has those of the others
    changes.push_back({[](LinearArgs& a) { a.dropout.rate = 0.25f; },
                       "Expected a dropout rate of 0 for linear on this backend but received 0.25"});
  add_dtypes(changes, &LinearArgs::x_dtype, "x of linear");
  add_dtypes(changes, &LinearArgs::y_dtype, "y of linear");
  if (backend().supports(device_of(backend()), DType::kBF16))
    changes.push_back({[](LinearArgs& a) {
                         a.residual = static_cast<const float*>(a.y);
                         a.residual_stride = 12;
                         a.y_dtype = DType::kBF16;
                       },
                       "Expected float32 for y of linear, which is the residual, but received bfloat16"});
  expect_refused<LinearArgs>(
      backend().linear,
      [&](OpCall& call, Rows& y) {
        return LinearArgs{
            .weights = packed.weights, .x = call.in(x_), .x_stride = 24, .y = call.out(y), .y_stride = 12, .rows = 3};
      },
      changes);
}

TEST_P(OpsRefusalTest, Packing) {
  const std::vector<float> weight(8, 1.0f);
  const auto status = [&](const std::function<void(LinearWeights&)>& change) {
    LinearWeights weights{.weight = weight.data(), .in = 4, .out = 2};
    change(weights);
    const PackedWeights packed(backend(), weights);
    EXPECT_EQ(packed.weights == nullptr, packed.status != kOk);
    return packed.status;
  };
  EXPECT_EQ(status([](LinearWeights&) {}), kOk);
  EXPECT_EQ(status([](LinearWeights& w) { w.weight = nullptr; }), kBadArgument);
  EXPECT_EQ(status([](LinearWeights& w) { w.in = 0; }), kBadArgument);
  EXPECT_EQ(status([](LinearWeights& w) { w.out = -1; }), kBadArgument);
  EXPECT_EQ(status([](LinearWeights& w) { w.use = LinearUse::kForwardAndBackward; }),
            backend().repack_linear ? kOk : kBadArgument);
  EXPECT_EQ(status([](LinearWeights& w) { w.use = static_cast<LinearUse>(2); }), kBadArgument);
}

TEST_P(OpsRefusalTest, Attention) {
  Rows qkv(3, 24);
  const Rows cosine = std::move(Rows(2, 2).each([](float) { return 1.0f; }));
  const Rows bias = std::move(Rows(3, 5).each([](float) { return 0.0f; }));
  std::vector<std::pair<Change<AttentionArgs>, std::string>> changes = {
      {[](AttentionArgs& a) { a.qkv = nullptr; }, "Expected memory for qkv of attention but received null"},
      {[](AttentionArgs& a) { a.y = nullptr; }, "Expected memory for y of attention but received null"},
      {[](AttentionArgs& a) { a.offsets = nullptr; }, "Expected memory for the offsets of attention but received null"},
      {[](AttentionArgs& a) { a.texts = -1; }, "Expected at least 0 for texts of attention but received -1"},
      {[](AttentionArgs& a) { a.longest = -1; },
       "Expected at least 0 for the longest text of attention but received -1"},
      {[](AttentionArgs& a) { a.window = -2; }, "Expected at least 0 for the window of attention but received -2"},
      {[](AttentionArgs& a) { a.heads = 0; }, "Expected at least 1 for heads of attention but received 0"},
      {[](AttentionArgs& a) { a.kv_heads = 0; }, "Expected at least 1 for key heads of attention but received 0"},
      {[](AttentionArgs& a) { a.head_dim = 0; },
       "Expected at least 1 for the head dimension of attention but received 0"},
      {[](AttentionArgs& a) { a.kv_heads = 2; },
       "Expected a multiple of 2 key heads for the heads of attention but received 3"},
      {[](AttentionArgs& a) { a.qkv_stride = 19; },
       "Expected a stride of at least 20 for qkv of attention but received 19"},
      {[](AttentionArgs& a) { a.y_stride = 11; },
       "Expected a stride of at least 12 for y of attention but received 11"},
      {[](AttentionArgs& a) { a.mask = static_cast<Mask>(3); },
       "Expected 0 to 2 for the mask of attention but received 3"},
      {[](AttentionArgs& a) {
         a.mask = Mask::kPrefix;
         a.prefix = nullptr;
       },
       "Expected memory for the prefixes of attention but received null"},
      {[](AttentionArgs& a) { a.rope_sin = nullptr; },
       "Expected both cosines and sines for attention but received one of them"},
      {[](AttentionArgs& a) { a.rotary_dim = 3; },
       "Expected an even number up to 4 for the rotary dimension of attention but received 3"},
      {[](AttentionArgs& a) { a.rotary_dim = 6; },
       "Expected an even number up to 4 for the rotary dimension of attention but received 6"},
      {[](AttentionArgs& a) { a.rotary_dim = 0; },
       "Expected an even number up to 4 for the rotary dimension of attention but received 0"},
      {[](AttentionArgs& a) { a.bias_reach = 0; },
       "Expected at least 1 for the reach of attention's bias but received 0"},
      {[](AttentionArgs& a) { a.dropout.rate = 0.5f; },
       trains(backend()) ? "Expected memory for the row keys of attention but received null"
                         : "Expected a dropout rate of 0 for attention on this backend but received 0.5"},
      {[](AttentionArgs& a) {
         a.raw = static_cast<float*>(a.y);
         a.raw_stride = 15;
       },
       trains(backend())
           ? "Expected a stride of at least 16 for the raw queries and keys of attention but received 15"
           : "Expected no memory for the raw queries and keys of attention on this backend but received some"},
  };
  add_dtypes(changes, &AttentionArgs::dtype, "qkv and y of attention");
  const std::vector<int32_t> plan = Inputs::plan_of(backend(), offsets_);
  if (!plan.empty())
    changes.push_back({[](AttentionArgs& a) { a.plan = nullptr; },
                       "Expected a plan for attention on this backend but received none"});
  expect_refused<AttentionArgs>(
      backend().attention,
      [&](OpCall& call, Rows& y) {
        qkv.each([](float) { return 1.0f; });
        return AttentionArgs{.qkv = call.out(qkv),
                             .qkv_stride = 24,
                             .y = call.out(y),
                             .y_stride = 12,
                             .offsets = call.in(offsets_),
                             .texts = 2,
                             .longest = 2,
                             .plan = plan.empty() ? nullptr : call.in(plan),
                             .host_plan = plan.empty() ? nullptr : plan.data(),
                             .heads = 3,
                             .kv_heads = 1,
                             .head_dim = 4,
                             .mask = Mask::kPrefix,
                             .prefix = call.in(prefix_),
                             .rope_cos = call.in(cosine),
                             .rope_sin = call.in(cosine),
                             .rotary_dim = 4,
                             .bias = call.in(bias),
                             .bias_reach = 2};
      },
      changes);
}

TEST_P(OpsRefusalTest, Norm) {
  std::vector<std::pair<Change<NormArgs>, std::string>> changes = {
      {[](NormArgs& a) { a.x = nullptr; }, "Expected memory for x of norm but received null"},
      {[](NormArgs& a) { a.y = nullptr; }, "Expected memory for y of norm but received null"},
      {[](NormArgs& a) { a.rows = -3; }, "Expected at least 0 for rows of norm but received -3"},
      {[](NormArgs& a) { a.width = -1; }, "Expected at least 0 for the width of norm but received -1"},
      {[](NormArgs& a) { a.x_stride = 11; }, "Expected a stride of at least 12 for x of norm but received 11"},
      {[](NormArgs& a) { a.y_stride = -12; }, "Expected a stride of at least 12 for y of norm but received -12"},
      {[](NormArgs& a) { a.kind = static_cast<NormKind>(2); }, "Expected 0 to 1 for the kind of norm but received 2"},
  };
  add_dtypes(changes, &NormArgs::y_dtype, "y of norm");
  if (backend().supports(device_of(backend()), DType::kBF16))
    changes.push_back({[](NormArgs& a) {
                         a.x = static_cast<const float*>(a.y);
                         a.y_dtype = DType::kBF16;
                       },
                       "Expected float32 for y of norm, which is x, but received bfloat16"});
  expect_refused<NormArgs>(
      backend().norm,
      [&](OpCall& call, Rows& y) {
        return NormArgs{
            .x = call.in(x_), .x_stride = 24, .y = call.out(y), .y_stride = 12, .rows = 3, .width = 12, .epsilon = 1};
      },
      changes);
}

TEST_P(OpsRefusalTest, Embed) {
  EmbedTable tables[kMostEmbedTables + 1];
  const auto valid = [&](OpCall& call, Rows& y) {
    for (EmbedTable& table : tables) table = {.rows = call.in(x_), .ids = call.in(ids_)};
    return EmbedArgs{.tables = tables, .count = 2, .tokens = 3, .width = 12, .y = call.out(y), .y_stride = 12};
  };
  expect_refused<EmbedArgs>(
      backend().embed, valid,
      {
          {[](EmbedArgs& a) { a.count = 0; }, "Expected 1 to 8 tables but received 0"},
          {[](EmbedArgs& a) { a.count = 9; }, "Expected 1 to 8 tables but received 9"},
          {[](EmbedArgs& a) { a.tables = nullptr; }, "Expected memory for the tables of embed but received null"},
          {[&](EmbedArgs&) { tables[1].rows = nullptr; }, "Expected memory for a table of embed but received null"},
          {[&](EmbedArgs&) { tables[1].dtype = DType::kI8; },
           "Expected a table of float32, float16 or bfloat16 but received int8"},
          {[](EmbedArgs& a) { a.tokens = -1; }, "Expected at least 0 for tokens of embed but received -1"},
          {[](EmbedArgs& a) { a.width = -1; }, "Expected at least 0 for the width of embed but received -1"},
          {[](EmbedArgs& a) { a.y = nullptr; }, "Expected memory for y of embed but received null"},
          {[](EmbedArgs& a) { a.y_stride = 0; }, "Expected a stride of at least 12 for y of embed but received 0"},
      });
}

TEST_P(OpsRefusalTest, Bag) {
  const auto valid = [&](OpCall& call, Rows& y) {
    return BagArgs{.rows = call.in(ids_),
                   .ids = call.in(ids_),
                   .offsets = call.in(offsets_),
                   .texts = 2,
                   .width = 12,
                   .table = call.in(x_),
                   .weights = call.in(x_),
                   .y = call.out(y),
                   .y_stride = 12};
  };
  expect_refused<BagArgs>(
      backend().bag, valid,
      {
          {[](BagArgs& a) { a.offsets = a.rows = nullptr; }, "Expected memory for the rows of bag but received null"},
          {[](BagArgs& a) { a.offsets = a.ids = nullptr; }, "Expected memory for the ids of bag but received null"},
          {[](BagArgs& a) { a.table = nullptr; }, "Expected memory for the table of bag but received null"},
          {[](BagArgs& a) { a.texts = -1; }, "Expected at least 0 for texts of bag but received -1"},
          {[](BagArgs& a) { a.width = -1; }, "Expected at least 0 for the width of bag but received -1"},
          {[](BagArgs& a) { a.y = nullptr; }, "Expected memory for y of bag but received null"},
          {[](BagArgs& a) { a.y_stride = 3; }, "Expected a stride of at least 12 for y of bag but received 3"},
          {[](BagArgs& a) { a.dtype = DType::kF64; },
           "Expected a table of float32, float16, bfloat16 or int8 but received float64"},
      });
}

TEST_P(OpsRefusalTest, Activation) {
  std::vector<std::pair<Change<ActivationArgs>, std::string>> changes = {
      {[](ActivationArgs& a) { a.x = nullptr; }, "Expected memory for x of activation but received null"},
      {[](ActivationArgs& a) { a.y = nullptr; }, "Expected memory for y of activation but received null"},
      {[](ActivationArgs& a) { a.rows = -1; }, "Expected at least 0 for rows of activation but received -1"},
      {[](ActivationArgs& a) { a.width = -1; }, "Expected at least 0 for the width of activation but received -1"},
      {[](ActivationArgs& a) { a.x_stride = 23; },
       "Expected a stride of at least 24 for x of activation but received 23"},
      {[](ActivationArgs& a) { a.y_stride = 11; },
       "Expected a stride of at least 12 for y of activation but received 11"},
      {[](ActivationArgs& a) { a.activation = static_cast<Activation>(-1); },
       "Expected 0 to 6 for the activation of activation but received -1"},
  };
  add_dtypes(changes, &ActivationArgs::dtype, "x and y of activation");
  expect_refused<ActivationArgs>(
      backend().activation,
      [&](OpCall& call, Rows& y) {
        return ActivationArgs{
            .x = call.in(x_), .x_stride = 24, .y = call.out(y), .y_stride = 12, .rows = 3, .width = 12, .gated = true};
      },
      changes);
}

TEST_P(OpsRefusalTest, PoolAndFuse) {
  const auto pooled = [&](OpCall& call, Rows& y) {
    return PoolArgs{.x = call.in(x_),
                    .x_stride = 24,
                    .y = call.out(y),
                    .y_stride = 12,
                    .offsets = call.in(offsets_),
                    .texts = 2,
                    .width = 12};
  };
  expect_refused<PoolArgs>(
      backend().pool, pooled,
      {
          {[](PoolArgs& a) { a.x = nullptr; }, "Expected memory for x of pool but received null"},
          {[](PoolArgs& a) { a.y = nullptr; }, "Expected memory for y of pool but received null"},
          {[](PoolArgs& a) { a.offsets = nullptr; }, "Expected memory for the offsets of pool but received null"},
          {[](PoolArgs& a) { a.texts = -1; }, "Expected at least 0 for texts of pool but received -1"},
          {[](PoolArgs& a) { a.width = -1; }, "Expected at least 0 for the width of pool but received -1"},
          {[](PoolArgs& a) { a.x_stride = 11; }, "Expected a stride of at least 12 for x of pool but received 11"},
          {[](PoolArgs& a) { a.y_stride = 11; }, "Expected a stride of at least 12 for y of pool but received 11"},
          {[](PoolArgs& a) { a.mode = static_cast<Pooling>(6); },
           "Expected 0 to 5 for the mode of pool but received 6"},
      });
  const auto fused = [&](OpCall& call, Rows& y) {
    return FuseArgs{
        .x = call.in(x_), .x_stride = 24, .y = call.out(y), .y_stride = 12, .rows = 3, .width = 12, .first = true};
  };
  expect_refused<FuseArgs>(
      backend().fuse, fused,
      {
          {[](FuseArgs& a) { a.x = nullptr; }, "Expected memory for x of fuse but received null"},
          {[](FuseArgs& a) { a.y = nullptr; }, "Expected memory for y of fuse but received null"},
          {[](FuseArgs& a) { a.rows = -1; }, "Expected at least 0 for rows of fuse but received -1"},
          {[](FuseArgs& a) { a.width = -1; }, "Expected at least 0 for the width of fuse but received -1"},
          {[](FuseArgs& a) { a.x_stride = 11; }, "Expected a stride of at least 12 for x of fuse but received 11"},
          {[](FuseArgs& a) { a.y_stride = 11; }, "Expected a stride of at least 12 for y of fuse but received 11"},
      });
}

TEST_P(OpsRefusalTest, Vectors) {
  const auto normalized = [&](OpCall& call, Rows& y) {
    y.each([](float) { return 1.0f; });
    return NormalizeArgs{.x = call.out(y), .stride = 12, .rows = 3, .width = 12};
  };
  expect_refused<NormalizeArgs>(
      backend().normalize, normalized,
      {
          {[](NormalizeArgs& a) { a.x = nullptr; }, "Expected memory for x of normalize but received null"},
          {[](NormalizeArgs& a) { a.rows = -1; }, "Expected at least 0 for rows of normalize but received -1"},
          {[](NormalizeArgs& a) { a.width = -1; }, "Expected at least 0 for the width of normalize but received -1"},
          {[](NormalizeArgs& a) { a.stride = 11; },
           "Expected a stride of at least 12 for x of normalize but received 11"},
      });
  const auto compared = [&](OpCall& call, Rows& y) {
    return SimilarityArgs{.a = call.in(x_), .b = call.in(x_), .rows_a = 3, .rows_b = 3, .width = 24, .y = call.out(y)};
  };
  expect_refused<SimilarityArgs>(
      backend().similarity, compared,
      {
          {[](SimilarityArgs& a) { a.a = nullptr; }, "Expected memory for a of similarity but received null"},
          {[](SimilarityArgs& a) { a.b = nullptr; }, "Expected memory for b of similarity but received null"},
          {[](SimilarityArgs& a) { a.y = nullptr; }, "Expected memory for y of similarity but received null"},
          {[](SimilarityArgs& a) { a.rows_a = -1; },
           "Expected at least 0 for the rows of a of similarity but received -1"},
          {[](SimilarityArgs& a) { a.rows_b = -1; },
           "Expected at least 0 for the rows of b of similarity but received -1"},
          {[](SimilarityArgs& a) { a.width = -1; }, "Expected at least 0 for the width of similarity but received -1"},
          {[](SimilarityArgs& a) { a.y_stride = 2; },
           "Expected a stride of at least 3 for y of similarity but received 2"},
          {[](SimilarityArgs& a) { a.kind = static_cast<Similarity>(4); },
           "Expected 0 to 3 for the kind of similarity but received 4"},
      });
  const auto quantized = [&](OpCall& call, Rows& y) {
    return QuantizeArgs{.precision = Precision::kUint8,
                        .x = call.in(x_),
                        .rows = 3,
                        .width = 8,
                        .minimum = call.in(x_),
                        .maximum = call.in(x_),
                        .y = reinterpret_cast<uint8_t*>(call.out(y))};
  };
  expect_refused<QuantizeArgs>(
      backend().quantize, quantized,
      {
          {[](QuantizeArgs& a) { a.x = nullptr; }, "Expected memory for x of quantize but received null"},
          {[](QuantizeArgs& a) { a.y = nullptr; }, "Expected memory for y of quantize but received null"},
          {[](QuantizeArgs& a) { a.minimum = nullptr; },
           "Expected memory for the minimum of quantize but received null"},
          {[](QuantizeArgs& a) { a.maximum = nullptr; },
           "Expected memory for the maximum of quantize but received null"},
          {[](QuantizeArgs& a) { a.rows = -1; }, "Expected at least 0 for rows of quantize but received -1"},
          {[](QuantizeArgs& a) { a.width = -1; }, "Expected at least 0 for the width of quantize but received -1"},
          {[](QuantizeArgs& a) { a.precision = static_cast<Precision>(4); },
           "Expected 0 to 3 for the precision of quantize but received 4"},
      });
}

}  // namespace
}  // namespace embedcore::test
