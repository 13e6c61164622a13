// The backward pass of a layer, in two halves: one that goes row by row, for groups of texts in any order, and one that
// sums over the rows of a slab.
#pragma once

#include "train/layer_pass.h"

namespace embedcore {

// From scratch.dout, the gradient of the layer's output, to that of its input (scratch.dout again), and the rows that
// the gradients of weights are made of. call and at are those of the group's forward pass; scratch.hidden holds the
// layer's input where the norm comes last.
void backward_rows(const LayerCall& call, const LayerSpec& spec, const TrainedLayer& layer, const LayerActivations& at,
                   LayerScratch scratch, int64_t first_row);

// Adds to the gradients of relative positions, and to that of the norm of one head, for one group after the other. A
// caller takes the heads one by one, each with all groups, so that the groups do not change the order of a sum.
struct RelativeGradient {
  float* dbias = nullptr;  // [heads, 2 * reach + 1]; null = not wanted
};
void backward_relative(const LayerCall& call, const LayerSpec& spec, const TrainedLayer& layer,
                       const LayerActivations& at, LayerScratch scratch, int64_t first_row,
                       const RelativeGradient& relative);
void backward_head(const LayerCall& call, const LayerSpec& spec, const TrainedLayer& layer, const LayerActivations& at,
                   LayerScratch scratch, int64_t first_row, int64_t head);

// Adds to the gradients of the layer's other weights, over all rows of the slab.
struct SlabRows {
  const View& input;  // the rows that enter the layer
  int64_t tokens = 0;
  const RowKey* keys = nullptr;  // [tokens]
};
void backward_weights(const LayerCall& call, const LayerSpec& spec, const TrainedLayer& layer, const KeptLayer& kept,
                      const LayerScratch& scratch, const SlabRows& rows);

}  // namespace embedcore
