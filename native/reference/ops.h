// The functions of the table of backend.cc; contracts in ops/*.h.
#pragma once

#include "ops/backend.h"

namespace embedcore::reference {

PackedLinear* pack_linear(const LinearWeights& weights);
void free_linear(PackedLinear* packed);
Status linear(Scope& scope, const LinearArgs& args);
Status attention(Scope& scope, const AttentionArgs& args);
Status norm(Scope& scope, const NormArgs& args);
Status embed(Scope& scope, const EmbedArgs& args);
Status bag(Scope& scope, const BagArgs& args);
Status gate(Scope& scope, const GateArgs& args);
Status pool(Scope& scope, const PoolArgs& args);
Status combine(Scope& scope, const CombineArgs& args);
Status normalize(Scope& scope, const NormalizeArgs& args);
Status similarity(Scope& scope, const SimilarityArgs& args);
Status quantize(Scope& scope, const QuantizeArgs& args);

}  // namespace embedcore::reference
