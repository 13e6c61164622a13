#include "attention_flash.cuh"

#include <algorithm>

namespace embedcore::cuda {

namespace {

template <typename Kernel>
Error start(StreamHandle stream, const AttentionArgs& args, const AttendCall& call) {
  typename Kernel::Args kernel_args{call, {}};
  for (int kind = 0; kind < kPlanClasses; ++kind) {
    const int tokens = kMostPlanTokens >> kind;
    const int heads = std::min(Kernel::kRows / (tokens * call.group), Kernel::kKeys / tokens);
    const int shift = heads >= 4 ? 2 : heads >= 2 ? 1 : 0;
    kernel_args.shift[kind] = shift;
    kernel_args.share.blocks[kind] =
        ((call.kv_heads + (1 << shift) - 1) >> shift) * ((tokens * call.group + Kernel::kRows - 1) / Kernel::kRows);
  }
  return launch_items<Kernel>(stream, args, Kernel::kSharedBytes, kernel_args.share, kernel_args);
}

template <typename T>
Error start_for(StreamHandle stream, const AttentionArgs& args, const AttendCall& call) {
  if (call.head_dim <= 32) return start<FlashKernel<T, 32>>(stream, args, call);
  if (call.head_dim <= 64) return start<FlashKernel<T, 64>>(stream, args, call);
  if (call.head_dim <= 96) return start<FlashKernel<T, 96>>(stream, args, call);
  if (call.head_dim <= 128) return start<FlashKernel<T, 128>>(stream, args, call);
  return start<FlashKernel<T, 256>>(stream, args, call);
}

}  // namespace

bool flash_takes(const AttentionArgs& args, int architecture) {
  if (args.head_dim > 256 || !is_aligned(args.qkv, args.qkv_stride, args) || !is_aligned(args.y, args.y_stride, args))
    return false;
  return args.dtype == DType::kF16 || (args.dtype == DType::kBF16 && architecture >= 80);
}

Error launch_flash(StreamHandle stream, const AttentionArgs& args, const AttendCall& call) {
  return args.dtype == DType::kF16 ? start_for<f16>(stream, args, call) : start_for<bf16>(stream, args, call);
}

}  // namespace embedcore::cuda
