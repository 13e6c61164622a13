// How many bytes a training step takes, by the shapes of a model alone: for a plan, before any weights are read. The
// code that places the rows of a step measures them here.
#pragma once

#include <vector>

#include "train/weights.h"

namespace embedcore {

// Bytes for each token.
struct StepBytes {
  double embedded = 0;       // of each text whose rows are kept: what comes before the layers
  std::vector<double> sums;  // of each layer: what stays even where the layer is made again
  std::vector<double> rest;  // of each layer: what making it again saves
  double scratch = 0;        // of the slab under way
  double shared = 0;         // of the slab under way, where any layer is made again
  double forward = 0;        // of a slab in a pass that keeps nothing
  int64_t slab_tokens = 0;
};

// host: the memory of the device is that of the host.
StepBytes step_bytes(const ModelConfig& config, DType dtype, const std::vector<LoraSpec>& lora, bool host);

}  // namespace embedcore
