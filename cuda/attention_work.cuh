// What the kernels of attention share: the call, the part of it that a block takes, and the keys that a token sees.
#pragma once

#include "attention_plan.h"
#include "ops/attention.h"
#include "runtime.h"

namespace embedcore::cuda {

constexpr float kLowest = -__builtin_huge_valf();
constexpr float kLog2E = 1.44269504f, kLn2 = 0.693147181f;

// The blocks of a kernel by class of item: an item takes `blocks` of them.
struct PlanShare {
  const int32_t* plan;
  int blocks[kPlanClasses];
};

struct Work {
  PlanItem item;
  int kind;    // class of the item
  int tokens;  // of the item
  int block;   // of the item's blocks
};

// A value that is the same in all lanes of a warp, so that the compiler knows it: branches on it need no care for lanes
// that go the other way.
template <typename T>
GPU T uniform(T value) {
  return shuffle(value, 0);
}
GPU Vector16 load_uniform(const int32_t* words) {
  Vector16 loaded = load16(words);
  UNROLL
  for (uint32_t& word : loaded.word) word = uniform(word);
  return loaded;
}

// False for a block beyond the plan.
GPU bool find_work(const PlanShare& share, Work& work) {
  const Vector16 counts = load_uniform(share.plan);
  uint32_t block = block_index(), first = 0;
  UNROLL
  for (int kind = 0; kind < kPlanClasses; ++kind) {
    const auto each = static_cast<uint32_t>(share.blocks[kind]);
    const uint32_t span = counts.word[kind] * each;
    if (block < span) {
      const uint32_t number = first + block / each;
      const Vector16 words = load_uniform(share.plan + kPlanClasses + 4 * static_cast<int64_t>(number));
      work.item = {static_cast<int32_t>(words.word[0]), static_cast<int32_t>(words.word[1]),
                   static_cast<int32_t>(words.word[2]), static_cast<int32_t>(words.word[3])};
      work.kind = kind;
      const int most = kMostPlanTokens >> kind, left = work.item.length - work.item.first;
      work.tokens = left < most ? left : most;
      work.block = static_cast<int>(block % each);
      return true;
    }
    block -= span;
    first += counts.word[kind];
  }
  return false;
}

// The arguments of the kernels that attend.
struct AttendCall {
  const void* qkv;
  void* y;
  const int32_t* offsets;
  const int32_t* prefix;
  const float* bias;
  float* lse;
  int64_t qkv_stride, y_stride, bias_reach, texts;
  int heads, kv_heads, group;  // group: query heads of a key head
  uint32_t group_inverse;      // inverse_of(group)
  int head_dim;
  int window;
  Mask mask;
  float scale;
  PlanShare share;
};

struct Keys {
  int first, last;
};

// visible_keys of ops/attention.h.
GPU Keys keys_of(const AttendCall& call, int prefix, int token, int length) {
  const int window = call.window;
  if (call.mask == Mask::kBidirectional) {
    if (window == 0) return {0, length};
    const int last = token + window + 1;
    return {token > window ? token - window : 0, last < length ? last : length};
  }
  Keys keys{window > 0 && token + 1 > window ? token + 1 - window : 0, token + 1};
  if (call.mask == Mask::kPrefix && token < prefix) keys.last = prefix < length ? prefix : length;
  return keys;
}

// The rows of an item and a key head are all queries that attend to it, token by token, so that they share what is
// loaded of the keys. token_of: row / group, of fewer than 2^31 / group rows.
inline uint32_t inverse_of(int group) {
  return ((1u << 31) + static_cast<uint32_t>(group) - 1) / static_cast<uint32_t>(group);
}
GPU int token_of(const AttendCall& call, int row) {
  return static_cast<int>((static_cast<uint64_t>(static_cast<uint32_t>(row)) * call.group_inverse) >> 31);
}

// Launches the blocks of all items.
template <typename Kernel>
Error launch_items(StreamHandle stream, const AttentionArgs& args, size_t shared_bytes, const PlanShare& share,
                   const typename Kernel::Args& kernel_args, uint32_t slices = 1) {
  int64_t blocks = 0;
  for (int kind = 0; kind < kPlanClasses; ++kind)
    blocks += static_cast<int64_t>(args.host_plan[kind]) * share.blocks[kind];
  return launch<Kernel>(stream, {.x = static_cast<uint32_t>(blocks), .y = slices}, shared_bytes, kernel_args,
                        Order::kMayOverlap);
}

// Whether the heads begin and end at multiples of 16 bytes.
inline bool is_aligned(const void* rows, int64_t stride, const AttentionArgs& args) {
  const auto bytes = static_cast<int64_t>(dtype_size(args.dtype));
  return reinterpret_cast<uintptr_t>(rows) % 16 == 0 && stride * bytes % 16 == 0 && args.head_dim * bytes % 16 == 0;
}

// Whether the tensor-core kernels take these arguments on a device of this architecture, and their launch.
bool flash_takes(const AttentionArgs& args, int architecture);
Error launch_flash(StreamHandle stream, const AttentionArgs& args, const AttendCall& call);

}  // namespace embedcore::cuda
