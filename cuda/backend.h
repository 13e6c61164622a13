// The operations of the CUDA backend, one source each: linear.cu, attention.cu, norm.cu, ...
#pragma once

#include "ops/backend.h"

namespace embedcore::cuda {

EMBEDCORE_OPS(EMBEDCORE_DECLARE_OP)

bool supports(Device* device, DType dtype);
Status pack_linear(Device* device, const LinearWeights& weights, PackedLinear** packed);
void free_linear(PackedLinear* packed);
int64_t plan_attention(const int32_t* offsets, int64_t texts, int32_t* words);

const Backend& backend();

}  // namespace embedcore::cuda
