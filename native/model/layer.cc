#include "model/layer.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "ops/gate.h"
#include "ops/linear.h"

namespace embedcore {

void check_status(Status status, const Stream& stream, const char* op) {
  if (status == kOk) return;
  if (status == kOutOfMemory) fail(Code::kOutOfMemory, "no memory for %s", op);
  fail(Code::kInternal, "%s: %s", op, stream.message);
}

namespace {

// Rows of activations on their way: memory, row stride, dtype.
struct View {
  void* data;
  int64_t stride;
  DType dtype = DType::kF32;
  View from_row(int64_t row) const {
    return {static_cast<std::byte*>(data) + static_cast<size_t>(row * stride) * dtype_size(dtype), stride, dtype};
  }
};

void run_linear(const LayerCall& call, const Linear& weights, const View& x, const View& y, int64_t rows,
                Activation activation = Activation::kIdentity, const float* residual = nullptr) {
  check_status(call.backend.linear(call.stream, {weights.get(), x.data, x.stride, y.data, y.stride, rows, activation,
                                                 residual, y.stride, x.dtype, y.dtype}),
               call.stream, "linear");
}

void run_norm(const LayerCall& call, const LayerSpec& spec, const NormWeights& weights, const float* x, const View& y) {
  const int64_t width = call.hidden_size;
  check_status(
      call.backend.norm(call.stream,
                        {spec.norm, x, width, y.data, y.stride, call.group.tokens(), width, weights.weight.data(),
                         weights.bias.empty() ? nullptr : weights.bias.data(), spec.epsilon, y.dtype}),
      call.stream, "norm");
}

void watch_inputs(const LayerCall& call, InputSizes LayerInputSizes::*sizes, const View& x) {
  if (call.watch)
    (call.watch->*sizes).add(static_cast<const float*>(x.data), x.stride, call.group.tokens(), call.hidden_size);
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
  args.dtype = buffers.dtype;
  check_status(call.backend.attention(call.stream, args), call.stream, "attention");
}

// hidden += mlp(x), a block of rows at a time
void feed_forward(const LayerCall& call, const LayerSpec& spec, const LayerWeights& weights, const View& x,
                  const LayerBuffers& buffers) {
  const int64_t width = call.hidden_size, tokens = call.group.tokens();
  watch_inputs(call, &LayerInputSizes::up, x);
  const int64_t up_width = spec.gated ? 2 * spec.intermediate : spec.intermediate;
  for (int64_t row = 0; row < tokens; row += buffers.middle_rows) {
    const int64_t rows = std::min(buffers.middle_rows, tokens - row);
    float* hidden = buffers.hidden + row * width;
    const View middle{buffers.middle, up_width, buffers.dtype};
    run_linear(call, weights.up, x.from_row(row), middle, rows, spec.gated ? Activation::kIdentity : spec.activation);
    if (spec.gated)
      check_status(call.backend.gate(call.stream, {middle.data, up_width, middle.data, up_width, rows,
                                                   spec.intermediate, spec.activation, middle.dtype}),
                   call.stream, "gate");
    // in post-norm x is hidden itself: linear may not write what it reads, and it reads the middle alone
    run_linear(call, weights.down, middle, {hidden, width}, rows, Activation::kIdentity, hidden);
  }
}

}  // namespace

void layer_forward(const LayerCall& call, const LayerSpec& spec, const LayerWeights& weights,
                   const LayerBuffers& buffers) {
  const int64_t width = call.hidden_size, tokens = call.group.tokens();
  const View hidden{buffers.hidden, width}, normed{buffers.normed, width, buffers.dtype};
  const bool norm_before = spec.norm_first && spec.attention_norm;
  if (norm_before) run_norm(call, spec, weights.attention_norm, buffers.hidden, normed);
  watch_inputs(call, &LayerInputSizes::qkv, norm_before ? normed : hidden);
  run_linear(call, weights.qkv, norm_before ? normed : hidden, {buffers.qkv, spec.qkv_width(), buffers.dtype}, tokens);
  attend(call, spec, weights, buffers);
  run_linear(call, weights.output, {buffers.mixed, spec.heads * spec.head_dim, buffers.dtype}, hidden, tokens,
             Activation::kIdentity, buffers.hidden);

  if (spec.norm_first) {
    run_norm(call, spec, weights.mlp_norm, buffers.hidden, normed);
    feed_forward(call, spec, weights, normed, buffers);
  } else {
    run_norm(call, spec, weights.attention_norm, buffers.hidden, hidden);
    feed_forward(call, spec, weights, hidden, buffers);
    run_norm(call, spec, weights.mlp_norm, buffers.hidden, hidden);
  }
}

}  // namespace embedcore
