#include "model/layer.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "ops/gate.h"
#include "ops/linear.h"

namespace embedcore {

void check_status(Status status, const Scope& scope, const char* op) {
  if (status == kOk) return;
  if (status == kOutOfMemory) fail(Code::kOutOfMemory, "no memory for %s", op);
  fail(Code::kInternal, "%s: %s", op, scope.message);
}

namespace {

void run_linear(const LayerCall& call, const Linear& weights, const float* x, int64_t x_stride, float* y, int64_t y_stride, int64_t rows,
                Activation activation = Activation::kIdentity, const float* residual = nullptr) {
  check_status(call.backend.linear(call.scope, {weights.get(), x, x_stride, y, y_stride, rows, activation, residual, y_stride}), call.scope, "linear");
}

void run_norm(const LayerCall& call, const LayerSpec& spec, const NormWeights& weights, const float* x, float* y) {
  const int64_t width = call.hidden_size;
  check_status(call.backend.norm(call.scope, {spec.norm, x, width, y, width, call.group.tokens(), width, weights.weight.data(),
                                              weights.bias.empty() ? nullptr : weights.bias.data(), spec.epsilon}),
               call.scope, "norm");
}

void attend(const LayerCall& call, const LayerSpec& spec, const LayerWeights& weights, const LayerBuffers& buffers) {
  AttentionArgs args{};
  args.qkv = buffers.qkv;
  args.qkv_stride = spec.qkv_width();
  args.y = buffers.mixed;
  args.y_stride = spec.heads * spec.head_dim;
  args.offsets = call.group.offsets;
  args.texts = call.group.texts;
  args.heads = spec.heads;
  args.kv_heads = spec.kv_heads;
  args.head_dim = spec.head_dim;
  args.scale = 1.0f / std::sqrt(static_cast<float>(spec.head_dim));
  args.mask = call.mask;
  args.window = call.window;
  args.prefix = call.group.prefix;
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
  args.bias = call.bias;
  args.bias_reach = call.bias_reach;
  check_status(call.backend.attention(call.scope, args), call.scope, "attention");
}

// hidden += mlp(x), a block of rows at a time
void feed_forward(const LayerCall& call, const LayerSpec& spec, const LayerWeights& weights, const float* x, const LayerBuffers& buffers) {
  const int64_t width = call.hidden_size, tokens = call.group.tokens();
  const int64_t up_width = spec.gated ? 2 * spec.intermediate : spec.intermediate;
  for (int64_t row = 0; row < tokens; row += buffers.middle_rows) {
    const int64_t rows = std::min(buffers.middle_rows, tokens - row);
    float* hidden = buffers.hidden + row * width;
    run_linear(call, weights.up, x + row * width, width, buffers.middle, up_width, rows, spec.gated ? Activation::kIdentity : spec.activation);
    if (spec.gated)
      check_status(call.backend.gate(call.scope, {buffers.middle, up_width, buffers.middle, up_width, rows, spec.intermediate, spec.activation}), call.scope, "gate");
    // in post-norm x is hidden itself: linear may not write what it reads, and it reads the middle alone
    run_linear(call, weights.down, buffers.middle, up_width, hidden, width, rows, Activation::kIdentity, hidden);
  }
}

}  // namespace

void layer_forward(const LayerCall& call, const LayerSpec& spec, const LayerWeights& weights, const LayerBuffers& buffers) {
  const int64_t width = call.hidden_size, tokens = call.group.tokens();
  const float* input = buffers.hidden;
  if (spec.norm_first && spec.attention_norm) {
    run_norm(call, spec, weights.attention_norm, buffers.hidden, buffers.normed);
    input = buffers.normed;
  }
  run_linear(call, weights.qkv, input, width, buffers.qkv, spec.qkv_width(), tokens);
  attend(call, spec, weights, buffers);
  run_linear(call, weights.output, buffers.mixed, spec.heads * spec.head_dim, buffers.hidden, width, tokens, Activation::kIdentity, buffers.hidden);

  if (spec.norm_first) {
    run_norm(call, spec, weights.mlp_norm, buffers.hidden, buffers.normed);
    feed_forward(call, spec, weights, buffers.normed, buffers);
  } else {
    run_norm(call, spec, weights.attention_norm, buffers.hidden, buffers.hidden);
    feed_forward(call, spec, weights, buffers.hidden, buffers);
    run_norm(call, spec, weights.mlp_norm, buffers.hidden, buffers.hidden);
  }
}

}  // namespace embedcore
