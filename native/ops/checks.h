// What every table refuses, with kBadArgument and a sentence in Stream::message: arguments against the contracts of
// ops/<op>.h, dtypes that the device does not support, and what belongs to training. Nothing is read through a pointer,
// so the checks are the same for host and device memory.
//
// The functions are out of line, because a header that the sources of an instruction set include must not define code
// that other sources could be linked to.
#pragma once

#include "ops/backend.h"

namespace embedcore {

using Supports = bool (*)(Device* device, DType dtype);  // Backend::supports

// Without a sentence, as pack_linear has no stream.
bool can_pack(Device* device, const LinearWeights& weights, Supports supports);

bool can_run(Stream& stream, const LinearArgs& args, Supports supports);
bool can_run(Stream& stream, const AttentionArgs& args, Supports supports);
bool can_run(Stream& stream, const NormArgs& args, Supports supports);
bool can_run(Stream& stream, const EmbedArgs& args);
bool can_run(Stream& stream, const BagArgs& args);
bool can_run(Stream& stream, const ActivationArgs& args, Supports supports);
bool can_run(Stream& stream, const PoolArgs& args);
bool can_run(Stream& stream, const FuseArgs& args);
bool can_run(Stream& stream, const NormalizeArgs& args);
bool can_run(Stream& stream, const SimilarityArgs& args);
bool can_run(Stream& stream, const QuantizeArgs& args);

// Losses: checks_losses.cc.
bool can_run(Stream& stream, const ContrastiveArgs& args);
bool can_run(Stream& stream, const TripletArgs& args);
bool can_run(Stream& stream, const PairScoresArgs& args);
bool can_run(Stream& stream, const PairGradientArgs& args);
bool can_run(Stream& stream, const SquaredErrorArgs& args);

}  // namespace embedcore
