// The checks of attention and its gradients.
#include "ops/attention.h"
#include "ops/check_parts.h"

namespace embedcore {

using namespace checks;

namespace {

constexpr const char* kAttention = "attention";

bool has_heads(Stream& stream, const AttentionArgs& args) {
  if (!is_size(stream, {"heads", kAttention}, args.heads, 1) ||
      !is_size(stream, {"key heads", kAttention}, args.kv_heads, 1) ||
      !is_size(stream, {"the head dimension", kAttention}, args.head_dim, 1))
    return false;
  if (args.heads % args.kv_heads == 0) return true;
  return refuse(stream, "Expected a multiple of %lld key heads for the heads of attention but received %lld",
                Integer{args.kv_heads}, Integer{args.heads});
}

bool has_positions(Stream& stream, const AttentionArgs& args) {
  if ((args.rope_cos == nullptr) != (args.rope_sin == nullptr))
    return refuse(stream, "Expected both cosines and sines for attention but received one of them");
  if (args.rope_cos && (args.rotary_dim < 2 || args.rotary_dim > args.head_dim || args.rotary_dim % 2 != 0))
    return refuse(stream, "Expected an even number up to %lld for the rotary dimension of attention but received %lld",
                  Integer{args.head_dim}, Integer{args.rotary_dim});
  if (args.bias && args.bias_reach < args.longest - 1)
    return refuse(stream, "Expected at least %lld for the reach of attention's bias but received %lld",
                  Integer{args.longest - 1}, Integer{args.bias_reach});
  return true;
}

// How many tokens there are is in the offsets, but the longest text has so many.
int64_t least_rows(const AttentionArgs& args) { return args.texts > 0 ? args.longest : 0; }

// The forward pass of a gradient, and the gradient of its result.
bool has_forward(Stream& stream, const char* op, const AttentionArgs& forward, const float* dy, int64_t dy_stride,
                 Supports supports) {
  AttentionArgs read = forward;
  read.raw = nullptr;
  const int64_t rows = least_rows(forward);
  return can_run(stream, read, supports, kTakesTraining) &&
         is_given(stream, {"the log-sum-exp", op}, forward.lse, rows > 0) &&
         are_rows(stream, {"dy", op}, dy, rows, forward.heads * forward.head_dim, dy_stride);
}

}  // namespace

bool can_run(Stream& stream, const AttentionArgs& args, Supports supports, Takes takes) {
  if (!is_dropout(stream, kAttention, args.dropout, args.texts > 0 && args.longest > 0, takes) ||
      !is_row_dtype(stream, {"qkv and y", kAttention}, args.dtype, supports) || !has_heads(stream, args) ||
      !has_positions(stream, args) || !is_size(stream, {"texts", kAttention}, args.texts) ||
      !is_size(stream, {"the longest text", kAttention}, args.longest) ||
      !is_size(stream, {"the window", kAttention}, args.window) ||
      !is_kind(stream, {"the mask", kAttention}, args.mask, Mask::kPrefix) ||
      !is_given(stream, {"the offsets", kAttention}, args.offsets, args.texts > 0) ||
      !is_given(stream, {"the prefixes", kAttention}, args.prefix, args.mask == Mask::kPrefix && args.texts > 0))
    return false;
  const int64_t rows = least_rows(args), queries_and_keys = (args.heads + args.kv_heads) * args.head_dim;
  if (args.raw && !takes.backward)
    return refuse(stream,
                  "Expected no memory for the raw queries and keys of attention on this backend but received some");
  return are_rows(stream, {"qkv", kAttention}, args.qkv, rows, queries_and_keys + args.kv_heads * args.head_dim,
                  args.qkv_stride) &&
         are_rows(stream, {"y", kAttention}, args.y, rows, args.heads * args.head_dim, args.y_stride) &&
         (!args.raw || are_rows(stream, {"the raw queries and keys", kAttention}, args.raw, rows, queries_and_keys,
                                args.raw_stride));
}

bool can_run(Stream& stream, const AttentionGradientArgs& args, Supports supports) {
  constexpr const char* kOp = "attention_gradient";
  const AttentionArgs& forward = args.forward;
  return has_forward(stream, kOp, forward, args.dy, args.dy_stride, supports) &&
         are_rows(stream, {"dqkv", kOp}, args.dqkv, least_rows(forward),
                  (forward.heads + 2 * forward.kv_heads) * forward.head_dim, args.dqkv_stride);
}

bool can_run(Stream& stream, const AttentionBiasGradientArgs& args, Supports supports) {
  constexpr const char* kOp = "attention_bias_gradient";
  return has_forward(stream, kOp, args.forward, args.dy, args.dy_stride, supports) &&
         is_given(stream, {"the bias", kOp}, args.forward.bias) &&
         is_given(stream, {"dbias", kOp}, args.dbias, least_rows(args.forward) > 0);
}

}  // namespace embedcore
