#include "model/forward_plan.h"

#include <algorithm>

#include "base/error.h"

namespace embedcore {

std::vector<ForwardPlan::Layer> attention_plan(const ModelConfig& config, const std::vector<Mask>& masks) {
  const size_t count = config.layers.size();
  if (masks.size() > 1 && masks.size() != count)
    fail(Code::kInvalidOption, "attention has %zu entries; the model has %zu layers (give one entry, or one a layer)",
         masks.size(), count);
  std::vector<ForwardPlan::Layer> plan;
  for (size_t i = 0; i < count; ++i) {
    const LayerSpec& spec = config.layers[i];
    ForwardPlan::Layer layer{spec.mask, spec.window};
    if (!masks.empty()) layer.mask = masks.size() == 1 ? masks[0] : masks[i];
    // The window keeps its number when the kind of mask changes, although the two kinds count it differently
    // (ops/attention.h). transformers does so with config.is_causal = False and in its causal variant of ModernBERT.
    plan.push_back(layer);
  }
  return plan;
}

ForwardPlan forward_plan(const ModelConfig& config, const PlanOptions& options, const std::vector<float>& factors,
                         int64_t layer_start) {
  const auto last = static_cast<int64_t>(config.layers.size());
  ForwardPlan plan;
  plan.concat = options.concat;
  plan.states = options.states;
  if (plan.states.empty() && !factors.empty()) {
    for (int64_t state = layer_start; state <= last; ++state) plan.states.push_back(state);
    plan.factors = factors;
    plan.concat = false;
  } else {
    if (plan.states.empty()) plan.states = {last};
    for (const int64_t state : plan.states)
      if (state < 0 || state > last)
        fail(Code::kInvalidOption, "layer %lld is outside 0 to %lld", static_cast<long long>(state),
             static_cast<long long>(last));
    if (!plan.concat) std::sort(plan.states.begin(), plan.states.end());
    plan.factors.assign(plan.states.size(), plan.concat ? 1.0f : 1.0f / static_cast<float>(plan.states.size()));
  }
  plan.only_last = plan.states.size() == 1 && plan.factors[0] == 1.0f && plan.states[0] == last;
  plan.layers = attention_plan(config, options.attention);
  plan.layers.resize(static_cast<size_t>(*std::max_element(plan.states.begin(), plan.states.end())));
  return plan;
}

int64_t plan_width(const ModelConfig& config, const ForwardPlan& plan) {
  return plan.concat ? config.hidden * static_cast<int64_t>(plan.states.size()) : config.hidden;
}

}  // namespace embedcore
