// One layer in training: what a forward pass keeps of it, and the backward pass.
//
// Kept are the inputs of norms, attention and activation. The outputs of norms and of the activation are made again in
// the backward pass: they cost an operation on rows that are in the cache, and would be half of the memory.
#pragma once

#include "model/layer.h"
#include "train/texts.h"
#include "train/weights.h"

namespace embedcore {

// Rows of one layer for a slab. Where layers are made again, all but mlp_sum and its statistics are shared by the
// layers.
struct KeptLayer {
  View qkv;              // [tokens, qkv width], after head norms and rotation
  View raw;              // [tokens, q and k width] f32, before them; only with head norms
  View context;          // [tokens, heads * head_dim]
  View attention_sum;    // [tokens, hidden] f32: input + output(context)
  View up;               // [tokens, up width]
  View mlp_sum;          // [tokens, hidden] f32: attended + down(intermediate)
  float* lse = nullptr;  // [heads * tokens]; a group's part is [heads, its tokens]
  float *attention_mean = nullptr, *attention_rstd = nullptr, *mlp_mean = nullptr, *mlp_rstd = nullptr;  // [tokens]
  std::vector<float*> lora;  // by TrainedLora::number: [tokens, rank]
};

// Rows that a pass of one layer works in, for a slab.
struct LayerScratch {
  // Made by forward passes and again by backward passes: the operands of the matrices.
  View hidden;        // [tokens, hidden] f32: post-norm, the layer's input and output
  View attended;      // [tokens, hidden] f32: post-norm
  View attention_x;   // [tokens, hidden]: pre-norm, the input of qkv
  View mlp_x;         // [tokens, hidden]: pre-norm, the input of up
  View intermediate;  // [tokens, intermediate]
  // Gradients, float32.
  View dout;                // [tokens, hidden] of the layer's output; after the pass, of its input
  View dsum;                // [tokens, hidden] post-norm: of mlp_sum, then of attended; pre-norm: of mlp_x
  View dinput;              // [tokens, hidden] post-norm: of attention_sum, then of the input; pre-norm: of attention_x
  View dz_down, dz_output;  // [tokens, hidden] of what down and output give, before dropout
  View dup;                 // [tokens, up width]
  View dintermediate;       // [tokens, intermediate]; not gated: dup
  View dcontext;            // [tokens, heads * head_dim]
  View dqkv;                // [tokens, qkv width]
  View dnormed;             // [tokens, q and k width] of the outputs of trained head norms; null without
  float* head_rstd = nullptr;  // [heads + kv_heads, tokens]; null without head norms
  View head_rows;              // [tokens, head_dim]; null without head norms
  View lora_x;                 // [tokens, widest input] after the dropout of a part; null without
  std::vector<float*> dlora;   // by TrainedLora::number: [tokens, rank]
};

struct PassSettings {
  DType dtype = DType::kF32;  // of rows between two products
  bool backward = true;       // with room for gradients
};

// mlp_sum and its statistics.
KeptLayer place_sum(Layout& layout, int64_t hidden, int64_t tokens);
// The rest. ranks: of the layer's parts by their number.
void place_rest(Layout& layout, const LayerSpec& spec, const std::vector<int64_t>& ranks, int64_t hidden,
                int64_t tokens, DType dtype, KeptLayer& kept);
std::vector<int64_t> lora_ranks(const TrainedLayer& layer);
// What the rows of a pass need for the parts of any layer.
struct PassParts {
  std::vector<int64_t> ranks;  // of each low-rank part the largest
  int64_t dropped_in = 0;      // the widest input of a part with dropout
  bool trains_heads = false;   // the norms of heads are trained
};
PassParts pass_parts(const TrainedWeights& weights);
LayerScratch place_scratch(Layout& layout, const ModelConfig& config, const PassParts& parts, int64_t tokens,
                           const PassSettings& settings);

// The activations of a group, for layer_forward: rows of kept and scratch from the group's first row on.
// input: pre-norm, the residual stream that enters the layer [tokens of the slab, hidden].
LayerActivations group_activations(const LayerSpec& spec, const KeptLayer& kept, const LayerScratch& scratch,
                                   const View& input, int64_t first_row);
// The adapter of a group: the layer's parts with their kept rows.
LayerAdapter group_adapter(const LayerSpec& spec, const TrainedLayer& layer, const KeptLayer& kept, int64_t first_row,
                           const DropoutOfPass* dropout, uint32_t site);
// How many sites of dropout a layer takes.
uint32_t sites_of_layer(const LayerSpec& spec);

}  // namespace embedcore
