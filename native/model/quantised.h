// Weights saved as codes with scales beside them (FP8, compressed-tensors, GPTQ, AWQ, bitsandbytes), found by the names
// of their tensors where config.json does not tell.
#pragma once

#include "base/safetensors.h"

namespace embedcore {

// Throws kUnsupportedModel for a tensor of such a format. Without its scales a code is no weight.
void refuse_quantised_weights(const WeightFiles& files);

}  // namespace embedcore
