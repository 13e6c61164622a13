// From the options of a call to the hidden states and the attention of a forward pass.
#pragma once

#include <vector>

#include "model/config.h"
#include "model/plan.h"

namespace embedcore {

// The mask and window of every layer. masks: none, one for all layers, or one for each. Throws Error.
std::vector<ForwardPlan::Layer> attention_plan(const ModelConfig& config, const std::vector<Mask>& masks);

// factors: a learned weighting of the states from layer_start on, which counts where the options name no states; empty
// = none. Throws Error.
ForwardPlan forward_plan(const ModelConfig& config, const PlanOptions& options, const std::vector<float>& factors = {},
                         int64_t layer_start = 0);

// Numbers in the row of a token.
int64_t plan_width(const ModelConfig& config, const ForwardPlan& plan);

}  // namespace embedcore
