// The operations of the CUDA backend, one source each: linear.cu, attention.cu, norm.cu, ...
#pragma once

#include "ops/backend.h"

namespace embedcore::cuda {

EMBEDCORE_OPS(EMBEDCORE_DECLARE_OP)

Status pack_linear(Device* device, const LinearWeights& weights, PackedLinear** packed);
void free_linear(PackedLinear* packed);

const Backend& backend();

}  // namespace embedcore::cuda
