#include "model/model.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "ops/vectors.h"

namespace embedcore {

std::shared_ptr<const Model> Model::load(const ModelSource& source, const Backend& backend) {
  auto model = std::make_shared<Model>();
  if (source.is_static)
    model->static_ = StaticEncoder::load(source.directory, backend);
  else
    model->encoder_ = Encoder::load(source.directory, backend, source.dtype);
  model->head_ = Head(source.head, backend);
  if (source.layer_weighting && model->encoder_) {
    const LayerWeighting& weighting = *source.layer_weighting;
    const auto last = static_cast<int64_t>(model->encoder_->config().layers.size());
    const int64_t count = last + 1 - weighting.layer_start;
    if (weighting.layer_start < 0 || count < 1)
      fail(Code::kInvalidConfig, "%s: layer_start %lld leaves no layers of %lld", weighting.directory.c_str(),
           static_cast<long long>(weighting.layer_start), static_cast<long long>(last));
    const TensorReader reader(WeightFiles::open(weighting.directory), weighting.directory, {""}, "layer_weights");
    model->layer_factors_ = reader.vector("layer_weights", count);
    model->layer_start_ = weighting.layer_start;
    float sum = 0;
    for (const float weight : model->layer_factors_) sum += weight;
    if (sum == 0.0f) fail(Code::kInvalidConfig, "%s: the layer weights add up to 0", weighting.directory.c_str());
    for (float& weight : model->layer_factors_) weight /= sum;
  }
  return model;
}

EncodePlan Model::plan(const PlanOptions& options) const {
  EncodePlan plan;
  int64_t width = 0;
  if (static_) {
    if (!options.states.empty() || !options.attention.empty())
      fail(Code::kInvalidOption, "layers and attention do not apply to a static model");
    for (const Pooling mode : options.pooling)
      if (mode != Pooling::kMean) fail(Code::kInvalidOption, "a static model is pooled by mean alone");
    width = static_->width();
    plan.key = "static";
  } else {
    const auto last = static_cast<int64_t>(encoder_->config().layers.size());
    ForwardPlan& forward = plan.forward;
    forward.concat = options.concat;
    forward.states = options.states;
    if (forward.states.empty() && !layer_factors_.empty()) {
      for (int64_t state = layer_start_; state <= last; ++state) forward.states.push_back(state);
      forward.factors = layer_factors_;
      forward.concat = false;
    } else {
      if (forward.states.empty()) forward.states = {last};
      for (const int64_t state : forward.states)
        if (state < 0 || state > last)
          fail(Code::kInvalidOption, "layer %lld is outside 0 to %lld", static_cast<long long>(state),
               static_cast<long long>(last));
      if (!forward.concat) std::sort(forward.states.begin(), forward.states.end());
      forward.factors.assign(forward.states.size(),
                             forward.concat ? 1.0f : 1.0f / static_cast<float>(forward.states.size()));
    }
    forward.only_last = forward.states.size() == 1 && forward.factors[0] == 1.0f && forward.states[0] == last;
    forward.layers = encoder_->attention_plan(options.attention);
    forward.layers.resize(static_cast<size_t>(*std::max_element(forward.states.begin(), forward.states.end())));
    width = encoder_->width(forward);
    for (const int64_t state : forward.states) plan.key += std::to_string(state) + ",";
    plan.key += forward.concat ? "c" : "m";
    for (const ForwardPlan::Layer& layer : forward.layers)
      plan.key += "/" + std::to_string(static_cast<int>(layer.mask));
  }

  plan.token_output = options.token_output;
  plan.pooling = options.pooling;
  if (plan.pooling.empty()) plan.pooling = {Pooling::kMean};
  plan.pooled = options.token_output || static_ ? width : width * static_cast<int64_t>(plan.pooling.size());
  const bool with_head = !options.token_output;
  const int64_t full = with_head ? head_.out_width(plan.pooled) : plan.pooled;
  plan.stride = with_head ? head_.widest(plan.pooled) : plan.pooled;
  if (options.dimensions < 0 || options.dimensions > full)
    fail(Code::kInvalidOption, "dimensions is %lld; this model and these options give %lld",
         static_cast<long long>(options.dimensions), static_cast<long long>(full));
  plan.dimension = options.dimensions > 0 ? options.dimensions : full;
  plan.apply_normalize = options.normalize.value_or(true);
  const bool normalized_by_head = with_head && plan.apply_normalize && head_.normalizes();
  plan.normalize_last = options.normalize.value_or(normalized_by_head && plan.dimension < full);
  for (const Pooling mode : plan.pooling) plan.key += "+" + std::to_string(static_cast<int>(mode));
  plan.key += plan.token_output ? "t" : "s";
  plan.key += std::to_string(plan.dimension) + (plan.apply_normalize ? "a" : "-") + (plan.normalize_last ? "n" : "-");
  return plan;
}

const float* Model::run(const EncodePlan& plan, const Group& group, Workspace& workspace, Stream& stream,
                        const std::function<bool()>& between_layers) const {
  const Backend& backend = static_ ? static_->backend() : encoder_->backend();
  const int64_t rows = plan.token_output ? group.tokens() : group.texts;
  const int64_t pass_floats = static_cast<int64_t>(static_ ? StaticEncoder::workspace_floats(group.tokens())
                                                           : encoder_->workspace_floats(plan.forward, group.tokens()));
  workspace.reset(static_cast<size_t>(pass_floats) + 2 * Workspace::size_of(rows * plan.stride));
  float* out = workspace.cut(rows * plan.stride);
  float* spare = workspace.cut(rows * plan.stride);

  if (static_) {
    if (!between_layers()) return nullptr;
    if (plan.token_output)
      static_->token_rows(group, workspace, stream, out, plan.stride);
    else
      static_->forward(group, workspace, stream, out, plan.stride);
  } else {
    const float* hidden = encoder_->forward(plan.forward, group, workspace, stream, between_layers);
    if (!hidden) return nullptr;
    const int64_t width = encoder_->width(plan.forward);
    if (plan.token_output) {
      std::memcpy(out, hidden, static_cast<size_t>(rows * width) * sizeof(float));
    } else {
      for (size_t i = 0; i < plan.pooling.size(); ++i) {
        float* column = out + static_cast<int64_t>(i) * width;
        check_status(backend.pool(stream, {plan.pooling[i], hidden, width, column, plan.stride, group.offsets,
                                           group.skip, group.texts, width}),
                     stream, "pool");
      }
    }
  }
  if (!plan.token_output) head_.apply(stream, out, spare, rows, plan.pooled, plan.stride, plan.apply_normalize);
  if (plan.normalize_last)
    check_status(backend.normalize(stream, {out, plan.stride, rows, plan.dimension}), stream, "normalize");
  return out;
}

}  // namespace embedcore
