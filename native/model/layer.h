// One transformer layer over a packed batch.
#pragma once

#include "model/activations.h"
#include "model/adapter.h"
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
  const LayerAdapter* adapter = nullptr;   // null = none
  const DropoutOfPass* dropout = nullptr;  // null = none, as in inference
  uint32_t site = 0;                       // the first of the layer's sites of dropout
};

// Sites of dropout (ops/dropout.h) of a layer, from LayerCall::site on: those of the heads of attention come first.
enum LayerSite : uint32_t { kOutputSite, kIntermediateSite, kMlpSite, kLayerSites };
inline uint32_t site_of(const LayerSpec& spec, LayerSite site) { return static_cast<uint32_t>(spec.heads) + site; }

// The dropout of this site of the layer; a rate of 0 in inference.
Dropout dropout_of(const LayerCall& call, float rate, uint32_t site);
// The arguments of the layer's attention.
AttentionArgs attention_args(const LayerCall& call, const LayerSpec& spec, const LayerWeights& weights,
                             const LayerActivations& at);

// Reads at.input, writes the other fields, at.output last. Without at.mlp_sum the layer ends with at.up, when it is
// made again for a backward pass.
void layer_forward(const LayerCall& call, const LayerSpec& spec, const LayerWeights& weights,
                   const LayerActivations& at);

}  // namespace embedcore
