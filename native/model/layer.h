// One transformer layer over a packed batch.
#pragma once

#include "model/activations.h"
#include "model/batch.h"
#include "model/rope.h"
#include "model/weights.h"

namespace embedcore {

struct LayerCall {
  const Backend& backend;
  Stream& stream;
  const Batch& batch;
  int64_t hidden = 0;
  Mask mask = Mask::kBidirectional;
  int64_t window = 0;
  const RopeTable::Values* rope = nullptr;  // null = none
  const float* bias = nullptr;              // relative positions, device memory; null = none
  int64_t bias_reach = 0;
};

// Reads at.input, writes the other fields, at.output last.
void layer_forward(const LayerCall& call, const LayerSpec& spec, const LayerWeights& weights,
                   const LayerActivations& at);

}  // namespace embedcore
