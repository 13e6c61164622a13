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

// What a backend takes beyond inference with the weights of the model; all else is refused.
struct Takes {
  bool dropout = false;   // of any operation, with a rate above 0
  bool backward = false;  // weights packed for kForwardAndBackward
};
constexpr Takes kTakesTraining{.dropout = true, .backward = true};

// Without a sentence, as pack_linear has no stream.
bool can_pack(Device* device, const LinearWeights& weights, Supports supports, Takes takes = {});

bool can_run(Stream& stream, const LinearArgs& args, Supports supports, Takes takes = {});
bool can_run(Stream& stream, const NormArgs& args, Supports supports);
bool can_run(Stream& stream, const EmbedArgs& args);
bool can_run(Stream& stream, const BagArgs& args);
bool can_run(Stream& stream, const ActivationArgs& args, Supports supports);
bool can_run(Stream& stream, const PoolArgs& args);
bool can_run(Stream& stream, const FuseArgs& args);
bool can_run(Stream& stream, const NormalizeArgs& args);
bool can_run(Stream& stream, const SimilarityArgs& args);
bool can_run(Stream& stream, const QuantizeArgs& args);

// checks_linear.cc
bool can_run(Stream& stream, const DropoutArgs& args, Supports supports);
bool can_run(Stream& stream, const LinearInputGradientArgs& args);
bool can_run(Stream& stream, const LinearWeightGradientArgs& args, Supports supports);
bool can_repack(Stream& stream, const PackedLinear* packed, const float* weight, const float* bias);

// checks_attention.cc
bool can_run(Stream& stream, const AttentionArgs& args, Supports supports, Takes takes = {});
bool can_run(Stream& stream, const AttentionGradientArgs& args, Supports supports);
bool can_run(Stream& stream, const AttentionBiasGradientArgs& args, Supports supports);

// Gradients of the operations on rows: checks_row_gradients.cc.
bool can_run(Stream& stream, const NormGradientArgs& args);
bool can_run(Stream& stream, const NormWeightGradientArgs& args);
bool can_run(Stream& stream, const ActivationGradientArgs& args, Supports supports);
bool can_run(Stream& stream, const EmbedGradientArgs& args);
bool can_run(Stream& stream, const PoolGradientArgs& args);
bool can_run(Stream& stream, const NormalizeGradientArgs& args);

// Operations on blocks of parameters: checks_optimizer.cc.
bool can_run(Stream& stream, const AxpbyArgs& args);
bool can_run(Stream& stream, const SumSquaresArgs& args);
bool can_run(Stream& stream, const AdamWArgs& args);

// Losses: checks_losses.cc.
bool can_run(Stream& stream, const ContrastiveArgs& args);
bool can_run(Stream& stream, const TripletArgs& args);
bool can_run(Stream& stream, const PairScoresArgs& args);
bool can_run(Stream& stream, const PairGradientArgs& args);
bool can_run(Stream& stream, const SquaredErrorArgs& args);

}  // namespace embedcore
