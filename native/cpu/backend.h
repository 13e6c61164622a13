// The functions of one instruction set, and the table made of them (backend.cc).
//
// Sets that differ in a dot product alone share the code of the operations that do not use it: CMakeLists.txt compiles
// a source for the sets that its operations need, and names the set that each kind of operation is taken from.
#pragma once

#include "ops/backend.h"
#include "ops/double_kernels.h"
#include "ops/word_kernels.h"

// With a product of matrices of every dtype.
#define EMBEDCORE_PRODUCT_OPS(X) \
  X(linear, LinearArgs)          \
  X(linear_input_gradient, LinearInputGradientArgs)

// With operands or results of bfloat16.
#define EMBEDCORE_HALF_OPS(X)                           \
  X(attention, AttentionArgs)                           \
  X(norm, NormArgs)                                     \
  X(embed, EmbedArgs)                                   \
  X(bag, BagArgs)                                       \
  X(activation, ActivationArgs)                         \
  X(pool, PoolArgs)                                     \
  X(dropout, DropoutArgs)                               \
  X(linear_weight_gradient, LinearWeightGradientArgs)   \
  X(attention_gradient, AttentionGradientArgs)          \
  X(attention_bias_gradient, AttentionBiasGradientArgs) \
  X(norm_gradient, NormGradientArgs)                    \
  X(norm_weight_gradient, NormWeightGradientArgs)       \
  X(embed_gradient, EmbedGradientArgs)                  \
  X(activation_gradient, ActivationGradientArgs)        \
  X(pool_gradient, PoolGradientArgs)

// Of float32 alone.
#define EMBEDCORE_FLOAT_OPS(X)                 \
  X(fuse, FuseArgs)                            \
  X(normalize, NormalizeArgs)                  \
  X(similarity, SimilarityArgs)                \
  X(quantize, QuantizeArgs)                    \
  X(normalize_gradient, NormalizeGradientArgs) \
  X(contrastive, ContrastiveArgs)              \
  X(triplet, TripletArgs)                      \
  X(pair_scores, PairScoresArgs)               \
  X(pair_gradient, PairGradientArgs)           \
  X(squared_error, SquaredErrorArgs)           \
  X(axpby, AxpbyArgs)                          \
  X(sum_squares, SumSquaresArgs)               \
  X(adamw, AdamWArgs)

namespace embedcore::cpu {

namespace EMBEDCORE_FLOAT_ISA {
EMBEDCORE_FLOAT_OPS(EMBEDCORE_DECLARE_OP)
extern const WordKernels kWordKernels;
extern const DoubleKernels kDoubleKernels;
}  // namespace EMBEDCORE_FLOAT_ISA
namespace EMBEDCORE_HALF_ISA {
EMBEDCORE_HALF_OPS(EMBEDCORE_DECLARE_OP)
}
namespace EMBEDCORE_ISA {
bool supports(Device* device, DType dtype);
Status pack_linear(Device* device, const LinearWeights& weights, PackedLinear** packed);
void free_linear(PackedLinear* packed);
Status repack_linear(Stream& stream, PackedLinear* packed, const float* weight, const float* bias);
EMBEDCORE_PRODUCT_OPS(EMBEDCORE_DECLARE_OP)
}  // namespace EMBEDCORE_ISA

}  // namespace embedcore::cpu
