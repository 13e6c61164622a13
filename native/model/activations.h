// The arrays that the forward pass of a layer writes. A backward pass will read them.
#pragma once

#include "model/config.h"
#include "model/workspace.h"

namespace embedcore {

struct LayerActivations {
  View input;            // [tokens, hidden] f32: the residual stream before the layer
  View attention_input;  // [tokens, hidden]: the input of qkv; equal to input without a norm before it
  View qkv;              // [tokens, qkv width]: after head norms and rotation
  View raw;              // [tokens, q and k width] f32: before head norms and rotation; null = not kept
  View context;          // [tokens, heads * head_dim]
  View attention_sum;    // [tokens, hidden] f32: input + output(context)
  View attended;         // [tokens, hidden] f32: post-norm: its norm; pre-norm: the sum itself
  View mlp_input;        // [tokens, hidden]: the input of up; post-norm: attended
  View up;               // [mlp_rows, up width]: before the activation; fused away unless kept (data null)
  View intermediate;     // [mlp_rows, intermediate], or [mlp_rows, up width] where the activation works in place
  View mlp_sum;          // [tokens, hidden] f32: attended + down(intermediate)
  View output;           // [tokens, hidden] f32: post-norm: its norm; pre-norm: the sum itself
  float* lse = nullptr;  // [heads, tokens]; null = not kept
  // Of the norms, [tokens] each; null = not kept.
  float *attention_mean = nullptr, *attention_rstd = nullptr, *mlp_mean = nullptr, *mlp_rstd = nullptr;
  int64_t mlp_rows = 0;  // rows of the feed-forward at a time
};

enum class Keep {
  kNothing,  // fields share memory: the residual stream is updated in place
  kInputs,   // the inputs of the matrices after a norm are kept until the layer ends (calibration)
  kAll,      // every field has separate memory (for a backward pass)
};

// The feed-forward takes this many rows at a time unless all is kept, so that its intermediate, the widest buffer,
// stays in the cache.
constexpr int64_t kMlpRows = 128;

// dtype: the type of values between two products: float32, or one of 16 bits if the products round their inputs to it
// or further. With Keep::kNothing, output must be input.
LayerActivations place_layer(Layout& layout, const LayerSpec& spec, int64_t hidden, int64_t tokens, DType dtype,
                             Keep keep, View input, View output);

}  // namespace embedcore
