#include "model/layer.h"

#include <algorithm>
#include <cmath>

#include "model/device.h"
#include "ops/activation.h"
#include "ops/linear.h"

namespace embedcore {

namespace {

void run_linear(const LayerCall& call, const Linear& weights, const View& x, const View& y, int64_t rows,
                Activation activation = Activation::kIdentity, const float* residual = nullptr,
                int64_t residual_stride = 0) {
  check_status(call.backend.linear(call.stream, {.weights = weights.get(),
                                                 .x = x.data,
                                                 .x_stride = x.stride,
                                                 .y = y.data,
                                                 .y_stride = y.stride,
                                                 .rows = rows,
                                                 .activation = activation,
                                                 .residual = residual,
                                                 .residual_stride = residual_stride,
                                                 .x_dtype = x.dtype,
                                                 .y_dtype = y.dtype}),
               call.stream, "linear");
}

void run_norm(const LayerCall& call, const LayerSpec& spec, const NormWeights& weights, const View& x, const View& y,
              float* mean, float* rstd) {
  check_status(call.backend.norm(call.stream, {.kind = spec.norm,
                                               .x = x.floats(),
                                               .x_stride = x.stride,
                                               .y = y.data,
                                               .y_stride = y.stride,
                                               .rows = call.batch.tokens,
                                               .width = call.hidden,
                                               .weight = weights.weight.data(),
                                               .bias = weights.bias.data(),
                                               .epsilon = spec.epsilon,
                                               .y_dtype = y.dtype,
                                               .mean = mean,
                                               .rstd = rstd}),
               call.stream, "norm");
}

void attend(const LayerCall& call, const LayerSpec& spec, const LayerWeights& weights, const LayerActivations& at) {
  AttentionArgs args{.qkv = at.qkv.data,
                     .qkv_stride = at.qkv.stride,
                     .y = at.context.data,
                     .y_stride = at.context.stride,
                     .offsets = call.batch.offsets,
                     .texts = call.batch.texts,
                     .longest = call.batch.longest,
                     .plan = call.batch.plan,
                     .host_plan = call.batch.host_plan.data(),
                     .heads = spec.heads,
                     .kv_heads = spec.kv_heads,
                     .head_dim = spec.head_dim,
                     .scale = 1.0f / std::sqrt(static_cast<float>(spec.head_dim)),
                     .mask = call.mask,
                     .window = call.window,
                     .prefix = call.batch.prefix,
                     .bias = call.bias,
                     .bias_reach = call.bias_reach,
                     .dtype = at.qkv.dtype,
                     .lse = at.lse};
  if (call.rope) {
    args.rope_cos = call.rope->cosine.data();
    args.rope_sin = call.rope->sine.data();
    args.rotary_dim = spec.rope.rotary_dim;
  }
  if (spec.qk_norm) {
    args.q_norm = weights.q_norm.data();
    args.k_norm = weights.k_norm.data();
    args.qk_norm_epsilon = spec.epsilon;
  }
  check_status(call.backend.attention(call.stream, args), call.stream, "attention");
}

// at.mlp_sum = at.attended + mlp(at.mlp_input), at.mlp_rows rows at a time
void feed_forward(const LayerCall& call, const LayerSpec& spec, const LayerWeights& weights,
                  const LayerActivations& at) {
  const bool keeps_up = at.up.data != nullptr;
  for (int64_t row = 0; row < call.batch.tokens; row += at.mlp_rows) {
    const int64_t rows = std::min(at.mlp_rows, call.batch.tokens - row);
    const View up = keeps_up ? at.up : at.intermediate;
    const bool fused = !keeps_up && !spec.gated;
    run_linear(call, weights.up, at.mlp_input.from_row(row), up, rows, fused ? spec.activation : Activation::kIdentity);
    if (!fused)
      check_status(call.backend.activation(call.stream, {.x = up.data,
                                                         .x_stride = up.stride,
                                                         .y = at.intermediate.data,
                                                         .y_stride = at.intermediate.stride,
                                                         .rows = rows,
                                                         .width = spec.intermediate,
                                                         .activation = spec.activation,
                                                         .gated = spec.gated,
                                                         .dtype = up.dtype}),
                   call.stream, "activation");
    // The sum may be the memory of mlp_input (post-norm, in place), because linear reads only the intermediate.
    const View attended = at.attended.from_row(row);
    run_linear(call, weights.down, at.intermediate, at.mlp_sum.from_row(row), rows, Activation::kIdentity,
               attended.floats(), attended.stride);
  }
}

}  // namespace

void layer_forward(const LayerCall& call, const LayerSpec& spec, const LayerWeights& weights,
                   const LayerActivations& at) {
  const int64_t tokens = call.batch.tokens;
  if (spec.norm_first && spec.attention_norm)
    run_norm(call, spec, weights.attention_norm, at.input, at.attention_input, at.attention_mean, at.attention_rstd);
  run_linear(call, weights.qkv, at.attention_input, at.qkv, tokens);
  attend(call, spec, weights, at);
  run_linear(call, weights.output, at.context, at.attention_sum, tokens, Activation::kIdentity, at.input.floats(),
             at.input.stride);
  if (spec.norm_first)
    run_norm(call, spec, weights.mlp_norm, at.attended, at.mlp_input, at.mlp_mean, at.mlp_rstd);
  else
    run_norm(call, spec, weights.attention_norm, at.attention_sum, at.attended, at.attention_mean, at.attention_rstd);
  feed_forward(call, spec, weights, at);
  if (!spec.norm_first) run_norm(call, spec, weights.mlp_norm, at.mlp_sum, at.output, at.mlp_mean, at.mlp_rstd);
}

}  // namespace embedcore
