#include "ops/attention.h"

#include <cstdio>

#include "attention_plain.cuh"
#include "attention_prepare.cuh"
#include "backend.h"
#include "device.h"
#include "ops/checks.h"

namespace embedcore::cuda {

namespace {

// Calls body.operator()<T>() for the element type of the rows.
template <typename Body>
auto with_type(DType dtype, Body&& body) {
  if (dtype == DType::kBF16) return body.template operator()<bf16>();
  if (dtype == DType::kF16) return body.template operator()<f16>();
  return body.template operator()<float>();
}

template <typename T, int kWidth>
Error prepare(StreamHandle stream, const AttentionArgs& args) {
  using Kernel = PrepareKernel<T, kWidth>;
  const bool rotates = args.rope_cos && args.rotary_dim > 0;
  const int64_t first = rotates || args.q_norm ? 0 : args.heads;
  const int64_t last = rotates || args.k_norm ? args.heads + args.kv_heads : args.heads;
  const int64_t half = rotates ? args.rotary_dim / 2 : 0, accesses = (args.head_dim - half) / kWidth;
  int lanes = 1;
  while (lanes < 32 && lanes < accesses) lanes *= 2;
  PlanShare share{.plan = args.plan, .blocks = {}};
  for (int kind = 0; kind < kPlanClasses; ++kind)
    share.blocks[kind] =
        static_cast<int>(((kMostPlanTokens >> kind) * (last - first) + Kernel::rows(lanes) - 1) / Kernel::rows(lanes));
  return launch_items<Kernel>(stream, args, 0, share,
                              {.qkv = args.qkv,
                               .cosine = args.rope_cos,
                               .sine = args.rope_sin,
                               .q_norm = args.q_norm,
                               .k_norm = args.k_norm,
                               .stride = args.qkv_stride,
                               .head_dim = static_cast<int>(args.head_dim),
                               .half = static_cast<int>(half),
                               .query_heads = static_cast<int>(args.heads),
                               .first_head = static_cast<int>(first),
                               .heads = static_cast<int>(last - first),
                               .lanes = lanes,
                               .epsilon = args.qk_norm_epsilon,
                               .share = share});
}

Error prepare(StreamHandle stream, const AttentionArgs& args) {
  if (!args.q_norm && !args.k_norm && !(args.rope_cos && args.rotary_dim > 0)) return Error::kOk;
  return with_type(args.dtype, [&]<typename T>() {
    constexpr int kWidth = 16 / sizeof(T);
    const bool in_whole = is_aligned(args.qkv, args.qkv_stride, args) &&
                          (!args.rope_cos || (args.rotary_dim % 2 == 0 && args.rotary_dim / 2 % kWidth == 0));
    return in_whole ? prepare<T, kWidth>(stream, args) : prepare<T, 1>(stream, args);
  });
}

Error attend_plainly(StreamHandle stream, const AttentionArgs& args, AttendCall call) {
  return with_type(args.dtype, [&]<typename T>() {
    using Kernel = PlainKernel<T>;
    for (int kind = 0; kind < kPlanClasses; ++kind)
      call.share.blocks[kind] =
          call.kv_heads * (((kMostPlanTokens >> kind) * call.group + Kernel::kRows - 1) / Kernel::kRows);
    const auto slices = static_cast<uint32_t>((call.head_dim + Kernel::kColumns - 1) / Kernel::kColumns);
    return launch_items<Kernel>(stream, args, Kernel::kSharedBytes, call.share, call, slices);
  });
}

}  // namespace

Status attention(Stream& stream, const AttentionArgs& args) {
  if (!can_run(stream, args, supports)) return kBadArgument;
  if (args.texts == 0 || args.longest == 0) return kOk;
  if (!args.plan || !args.host_plan)
    return refuse(stream, "Expected a plan for attention on this backend but received none");
  constexpr int64_t kMostGroup = 1 << 12;  // token_of
  if (args.heads / args.kv_heads > kMostGroup) {
    char sentence[120];
    std::snprintf(sentence, sizeof sentence,
                  "Expected at most %d heads for each key head of attention but received %lld",
                  static_cast<int>(kMostGroup), static_cast<long long>(args.heads / args.kv_heads));
    return refuse(stream, sentence);
  }
  constexpr int64_t kEverything = 1 << 30;  // a window that hides no key
  const AttendCall call{.qkv = args.qkv,
                        .y = args.y,
                        .offsets = args.offsets,
                        .prefix = args.prefix,
                        .bias = args.bias,
                        .lse = args.lse,
                        .qkv_stride = args.qkv_stride,
                        .y_stride = args.y_stride,
                        .bias_reach = args.bias_reach,
                        .texts = args.texts,
                        .heads = static_cast<int>(args.heads),
                        .kv_heads = static_cast<int>(args.kv_heads),
                        .group = static_cast<int>(args.heads / args.kv_heads),
                        .group_inverse = inverse_of(static_cast<int>(args.heads / args.kv_heads)),
                        .head_dim = static_cast<int>(args.head_dim),
                        .window = static_cast<int>(args.window < kEverything ? args.window : kEverything),
                        .mask = args.mask,
                        .scale = args.scale,
                        .share = {.plan = args.plan, .blocks = {}}};
  const StreamHandle handle = stream_of(stream);
  Error error = prepare(handle, args);
  if (error == Error::kOk)
    error = flash_takes(args, stream.device->architecture) ? launch_flash(handle, args, call)
                                                           : attend_plainly(handle, args, call);
  return report(stream, error, "attention");
}

}  // namespace embedcore::cuda
