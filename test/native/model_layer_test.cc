// model/activations.h and model/layer.h: a layer gives the same bits whichever activations are kept, and the kept ones
// are those that a backward pass needs.
#include "model/layer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "op_support.h"

namespace embedcore::test {
namespace {

constexpr int64_t kHidden = 48, kTokens = 150;  // more than one block of the feed-forward

LayerSpec spec_of(bool norm_first, bool attention_norm, bool gated) {
  LayerSpec spec;
  spec.norm = norm_first ? NormKind::kRms : NormKind::kLayer;
  spec.norm_first = norm_first;
  spec.attention_norm = attention_norm;
  spec.norm_bias = !norm_first;
  spec.epsilon = 1e-5f;
  spec.heads = 3;
  spec.kv_heads = norm_first ? 1 : 3;
  spec.head_dim = 16;
  spec.gated = gated;
  spec.activation = gated ? Activation::kSilu : Activation::kGelu;
  spec.intermediate = 80;
  return spec;
}

class Layer {
 public:
  Layer(const Backend& backend, const LayerSpec& layer_spec)
      : spec(layer_spec), device_(OpenDevice::open(backend)), random_(5) {
    const int64_t q = spec.heads * spec.head_dim;
    weights.qkv = linear(kHidden, spec.qkv_width());
    weights.output = linear(q, kHidden);
    weights.up = linear(kHidden, spec.gated ? 2 * spec.intermediate : spec.intermediate);
    weights.down = linear(spec.intermediate, kHidden);
    if (spec.attention_norm) weights.attention_norm = norm();
    weights.mlp_norm = norm();
    for (const int32_t length : {100, 1, 49}) builder_.add(std::vector<int32_t>(static_cast<size_t>(length), 0), 0, 0);
    offsets_ = builder_.offsets();
    input_ = values(kTokens * kHidden, 1);
  }

  // Runs the layer; `look` sees the activations before they go.
  template <typename Look>
  std::vector<float> run(Keep keep, Look&& look) {
    Workspace workspace;
    LayerActivations at;
    const auto place = [&](Layout& layout) {
      const View input = layout.rows(kTokens, kHidden);
      const View output = keep == Keep::kNothing ? input : layout.rows(kTokens, kHidden);
      at = place_layer(layout, spec, kHidden, kTokens, DType::kF32, keep, input, output);
    };
    Layout layout = workspace.fit(*device_, place);
    place(layout);
    std::copy(input_.begin(), input_.end(), at.input.floats());
    OpenStream stream(device_);
    const Batch batch{.offsets = offsets_.data(), .texts = 3, .tokens = kTokens, .longest = 100};
    const LayerCall call{
        .backend = device_->backend(), .stream = stream, .batch = batch, .hidden = kHidden, .mask = spec.mask};
    layer_forward(call, spec, weights, at);
    look(at);
    return {at.output.floats(), at.output.floats() + kTokens * kHidden};
  }
  std::vector<float> run(Keep keep) {
    return run(keep, [](const LayerActivations&) {});
  }

  size_t bytes(Keep keep) const {
    Layout layout;
    const View hidden = layout.rows(kTokens, kHidden);
    place_layer(layout, spec, kHidden, kTokens, DType::kF32, keep, hidden, hidden);
    return layout.most();
  }

  const LayerSpec spec;
  LayerWeights weights;
  const std::vector<float>& input() const { return input_; }

 private:
  std::vector<float> values(int64_t count, double size) {
    std::vector<float> list(static_cast<size_t>(count));
    for (float& value : list) value = random_.value(-size, size);
    return list;
  }
  Linear linear(int64_t in, int64_t out) {
    const std::vector<float> weight = values(in * out, 0.2), bias = values(out, 0.1);
    return Linear(*device_, {.weight = weight.data(), .bias = bias.data(), .in = in, .out = out});
  }
  NormWeights norm() {
    NormWeights norm;
    norm.weight = DeviceArray<float>(*device_, values(kHidden, 1));
    if (spec.norm_bias) norm.bias = DeviceArray<float>(*device_, values(kHidden, 1));
    return norm;
  }

  DevicePointer device_;
  Random random_;
  BatchBuilder builder_;
  std::vector<int32_t> offsets_;
  std::vector<float> input_;
};

class LayerTest : public OpTest {};
EMBEDCORE_EVERY_HOST_BACKEND(LayerTest);

template <typename Test>
void with_specs(Test&& test) {
  for (const auto& [norm_first, attention_norm, gated] :
       {std::tuple{false, true, false}, {true, true, true}, {true, false, true}, {true, true, false}}) {
    SCOPED_TRACE(testing::Message() << "norm first " << norm_first << ", attention norm " << attention_norm
                                    << ", gated " << gated);
    test(spec_of(norm_first, attention_norm, gated));
  }
}

TEST_P(LayerTest, GivesTheSameBitsWhateverIsKept) {
  with_specs([&](const LayerSpec& spec) {
    Layer layer(backend(), spec);
    const std::vector<float> wanted = layer.run(Keep::kNothing);
    EXPECT_EQ(layer.run(Keep::kInputs), wanted);
    // With kept activations, the activation function is a separate operation, with the same arithmetic.
    const std::vector<float> kept = layer.run(Keep::kAll);
    for (size_t i = 0; i < wanted.size(); ++i) ASSERT_NEAR(kept[i], wanted[i], 4 * kUnit * (1 + std::abs(wanted[i])));
  });
}

// Every field has separate memory and the contents that its comment describes.
TEST_P(LayerTest, KeepsWhatABackwardPassNeeds) {
  with_specs([&](const LayerSpec& spec) {
    Layer layer(backend(), spec);
    layer.run(Keep::kAll, [&](const LayerActivations& at) {
      EXPECT_TRUE(std::equal(layer.input().begin(), layer.input().end(), at.input.floats()));
      std::vector<const void*> fields = {at.input.data, at.qkv.data,          at.context.data, at.attended.data,
                                         at.up.data,    at.intermediate.data, at.output.data,  at.lse};
      std::sort(fields.begin(), fields.end());
      EXPECT_EQ(std::adjacent_find(fields.begin(), fields.end()), fields.end());
      EXPECT_EQ(at.mlp_rows, kTokens);
      // The log-sum-exp of a text of one token is its only score.
      const int64_t token = 100;
      const float* row = at.qkv.floats() + token * at.qkv.stride;
      for (int64_t h = 0; h < spec.heads; ++h) {
        const float* q = row + h * spec.head_dim;
        const float* k = row + (spec.heads + h / (spec.heads / spec.kv_heads)) * spec.head_dim;
        double score = 0;
        for (int64_t d = 0; d < spec.head_dim; ++d) score += static_cast<double>(q[d]) * k[d];
        score /= std::sqrt(static_cast<double>(spec.head_dim));
        EXPECT_NEAR(at.lse[h * kTokens + token], score, 1e-5 * (1 + std::abs(score)));
      }
      // The mean and rstd of the second norm are those of the rows that it read.
      const View read = spec.norm_first ? at.attended : at.mlp_sum;
      const float* x = read.floats() + 7 * read.stride;
      double mean = 0, squares = 0;
      for (int64_t d = 0; d < kHidden; ++d) mean += x[d] / static_cast<double>(kHidden);
      if (spec.norm == NormKind::kRms) mean = 0;
      for (int64_t d = 0; d < kHidden; ++d) squares += (x[d] - mean) * (x[d] - mean) / static_cast<double>(kHidden);
      EXPECT_NEAR(at.mlp_rstd[7] * std::sqrt(squares + spec.epsilon), 1, 1e-5);
      if (spec.norm == NormKind::kLayer) {
        EXPECT_NEAR(at.mlp_mean[7], mean, 1e-5);
      }
    });
  });
}

// Inference keeps nothing: one residual stream, and the feed-forward one block of rows at a time.
TEST(LayerActivations, KeepingNothingSharesMemory) {
  with_specs([&](const LayerSpec& spec) {
    Layer layer(reference_backend(), spec);
    layer.run(Keep::kNothing, [&](const LayerActivations& at) {
      EXPECT_EQ(at.output.data, at.input.data);
      EXPECT_EQ(at.attended.data, at.input.data);
      EXPECT_EQ(at.up.data, nullptr);
      EXPECT_EQ(at.lse, nullptr);
      EXPECT_EQ(at.mlp_rows, kMlpRows);
    });
    EXPECT_LT(layer.bytes(Keep::kNothing), layer.bytes(Keep::kInputs));
    EXPECT_LT(layer.bytes(Keep::kInputs), layer.bytes(Keep::kAll));
  });
}

}  // namespace
}  // namespace embedcore::test
