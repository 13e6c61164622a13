// Weights saved as codes with scales beside them (FP8, compressed-tensors, GPTQ, AWQ, bitsandbytes), recognised by the
// names of their tensors if config.json does not name them.
#pragma once

#include "base/safetensors.h"

namespace embedcore {

// Throws kUnsupportedModel for a tensor of such a format. A code without its scale does not give a weight.
void refuse_quantised_weights(const WeightFiles& files);

}  // namespace embedcore
