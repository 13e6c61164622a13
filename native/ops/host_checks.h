// The arguments that the backends in host memory refuse. The functions are out of line, because a header that the
// sources of an instruction set include must not define code that other sources could be linked to.
#pragma once

#include "ops/backend.h"

namespace embedcore {

// Backend::supports: float32, bfloat16 and int8.
bool host_supports(Device* device, DType dtype);

bool host_can_pack(const LinearWeights& weights);

// If an operation cannot run, the stream's message says why.
bool host_can_run(Stream& stream, const LinearArgs& args);
bool host_can_run(Stream& stream, const AttentionArgs& args);
bool host_can_run(Stream& stream, const EmbedArgs& args);
bool host_can_run(Stream& stream, const BagArgs& args);

}  // namespace embedcore
