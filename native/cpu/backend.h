// The functions of one instruction set, and the table made of them (backend.cc).
#pragma once

#include "ops/backend.h"

namespace embedcore::cpu::EMBEDCORE_ISA {

bool supports(Device* device, DType dtype);
Status pack_linear(Device* device, const LinearWeights& weights, PackedLinear** packed);
void free_linear(PackedLinear* packed);
Status repack_linear(Stream& stream, PackedLinear* packed, const float* weight, const float* bias);
EMBEDCORE_OPS(EMBEDCORE_DECLARE_OP)
EMBEDCORE_TRAINING_OPS(EMBEDCORE_DECLARE_OP)

}  // namespace embedcore::cpu::EMBEDCORE_ISA
