// The functions of the table of backend.cc; contracts in ops/*.h.
#pragma once

#include "ops/backend.h"

namespace embedcore::reference {

bool supports(Device* device, DType dtype);  // float32, float16, bfloat16 and int8
Status pack_linear(Device* device, const LinearWeights& weights, PackedLinear** packed);
void free_linear(PackedLinear* packed);
Status repack_linear(Stream& stream, PackedLinear* packed, const float* weight, const float* bias);
EMBEDCORE_OPS(EMBEDCORE_DECLARE_OP)
EMBEDCORE_TRAINING_OPS(EMBEDCORE_DECLARE_OP)

}  // namespace embedcore::reference
