#include "model/layer.h"

#include <algorithm>
#include <cmath>

#include "model/device.h"
#include "ops/activation.h"
#include "ops/linear.h"

namespace embedcore {

namespace {

// The rows row .. row + rows of a linear. parts: its low-rank updates, whose kept rows begin with the batch.
void run_linear(const LayerCall& call, const Linear& weights, const std::vector<LoraPart> LayerAdapter::*parts,
                const View& x, const View& y, int64_t row, int64_t rows, LinearArgs args = {}) {
  std::vector<LoraPart> lora;
  if (call.adapter) lora = call.adapter->*parts;
  for (LoraPart& part : lora) {
    if (part.middle) part.middle += row * part.rank;
    if (part.dropout.rows) part.dropout.rows += row;
  }
  if (args.dropout.rows) args.dropout.rows += row;
  args.weights = weights.get();
  args.x = x.data;
  args.x_stride = x.stride;
  args.x_dtype = x.dtype;
  args.y = y.data;
  args.y_stride = y.stride;
  args.y_dtype = y.dtype;
  args.rows = rows;
  args.lora = lora.empty() ? nullptr : lora.data();
  args.lora_parts = static_cast<int32_t>(lora.size());
  check_status(call.backend.linear(call.stream, args), call.stream, "linear");
}

}  // namespace

Dropout dropout_of(const LayerCall& call, float rate, uint32_t site) {
  return call.dropout && rate > 0 ? call.dropout->at(rate, call.site + site) : Dropout{};
}

namespace {

void run_dropout(const LayerCall& call, const Dropout& dropout, const View& x, int64_t row, int64_t rows,
                 int64_t width) {
  if (dropout.rate == 0) return;
  Dropout own = dropout;
  own.rows += row;
  check_status(call.backend.dropout(call.stream, {.x = x.data,
                                                  .x_stride = x.stride,
                                                  .y = x.data,
                                                  .y_stride = x.stride,
                                                  .rows = rows,
                                                  .width = width,
                                                  .dtype = x.dtype,
                                                  .dropout = own}),
               call.stream, "dropout");
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

}  // namespace

AttentionArgs attention_args(const LayerCall& call, const LayerSpec& spec, const LayerWeights& weights,
                             const LayerActivations& at) {
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
                     .raw = at.raw.floats(),
                     .raw_stride = at.raw.stride,
                     .lse = at.lse,
                     .dropout = dropout_of(call, spec.attention_dropout, 0)};
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
  return args;
}

namespace {

// at.mlp_sum = at.attended + mlp(at.mlp_input), at.mlp_rows rows at a time
void feed_forward(const LayerCall& call, const LayerSpec& spec, const LayerWeights& weights,
                  const LayerActivations& at) {
  const bool keeps_up = at.up.data != nullptr;
  for (int64_t row = 0; row < call.batch.tokens; row += at.mlp_rows) {
    const int64_t rows = std::min(at.mlp_rows, call.batch.tokens - row);
    const View up = keeps_up ? at.up.from_row(row) : at.intermediate;
    const bool fused = !keeps_up && !spec.gated;
    run_linear(call, weights.up, &LayerAdapter::up, at.mlp_input.from_row(row), up, row, rows,
               {.activation = fused ? spec.activation : Activation::kIdentity});
    if (!at.mlp_sum.data) continue;
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
    run_dropout(call, dropout_of(call, spec.intermediate_dropout, site_of(spec, kIntermediateSite)), at.intermediate,
                row, rows, spec.intermediate);
    // The sum may be the memory of mlp_input (post-norm, in place), because linear reads only the intermediate.
    const View attended = at.attended.from_row(row);
    run_linear(call, weights.down, &LayerAdapter::down, at.intermediate, at.mlp_sum.from_row(row), row, rows,
               {.residual = attended.floats(),
                .residual_stride = attended.stride,
                .dropout = dropout_of(call, spec.mlp_dropout, site_of(spec, kMlpSite))});
  }
}

}  // namespace

void layer_forward(const LayerCall& call, const LayerSpec& spec, const LayerWeights& weights,
                   const LayerActivations& at) {
  const int64_t tokens = call.batch.tokens;
  if (spec.norm_first && spec.attention_norm)
    run_norm(call, spec, weights.attention_norm, at.input, at.attention_input, at.attention_mean, at.attention_rstd);
  run_linear(call, weights.qkv, &LayerAdapter::qkv, at.attention_input, at.qkv, 0, tokens);
  check_status(call.backend.attention(call.stream, attention_args(call, spec, weights, at)), call.stream, "attention");
  run_linear(call, weights.output, &LayerAdapter::output, at.context, at.attention_sum, 0, tokens,
             {.residual = at.input.floats(),
              .residual_stride = at.input.stride,
              .dropout = dropout_of(call, spec.output_dropout, site_of(spec, kOutputSite))});
  if (spec.norm_first)
    run_norm(call, spec, weights.mlp_norm, at.attended, at.mlp_input, at.mlp_mean, at.mlp_rstd);
  else
    run_norm(call, spec, weights.attention_norm, at.attention_sum, at.attended, at.attention_mean, at.attention_rstd);
  feed_forward(call, spec, weights, at);
  if (!spec.norm_first && at.mlp_sum.data)
    run_norm(call, spec, weights.mlp_norm, at.mlp_sum, at.output, at.mlp_mean, at.mlp_rstd);
}

}  // namespace embedcore
