// One transformer layer over a group of packed texts.
#pragma once

#include "model/rope.h"
#include "model/smoothing.h"
#include "model/weights.h"

namespace embedcore {

// The texts of one pass: text i owns tokens offsets[i] .. offsets[i + 1) of the group.
struct Group {
  const int32_t* ids;
  const int32_t* offsets;  // [texts + 1], offsets[0] = 0
  const int32_t* skip;     // [texts]: leading tokens that pooling leaves out
  const int32_t* prefix;   // [texts]: leading tokens of a prefix mask
  int64_t texts;
  int64_t longest;  // tokens of the longest text
  int64_t tokens() const { return offsets[texts]; }
};

// Buffers that all layers share.
struct LayerBuffers {
  float* hidden;  // [tokens, hidden]: the residual stream, in and out
  // What lies between two matrix products, in `dtype`:
  void* normed;  // [tokens, hidden]: the pre-norm's output; unused post-norm
  void* qkv;     // [tokens, widest qkv]
  void* mixed;   // [tokens, heads * head_dim]
  void* middle;  // [middle_rows, widest up]
  DType dtype;   // kF32, or kBF16 where the products round to bfloat16 or below
  int64_t middle_rows;
};

// The feed-forward runs over this many rows at a time: its middle is the widest buffer and stays in cache.
constexpr int64_t kMiddleRows = 128;

struct LayerCall {
  const Backend& backend;
  Stream& stream;
  const Group& group;
  int64_t hidden_size;
  Mask mask;
  int64_t window;
  const RopeTable::Values* rope;  // null = none
  const float* bias;              // relative positions, null = none
  int64_t bias_reach;
  LayerInputSizes* watch = nullptr;  // of a float32 layer: adds what its norms give to its matrices; null = nobody asks
};

void layer_forward(const LayerCall& call, const LayerSpec& spec, const LayerWeights& weights,
                   const LayerBuffers& buffers);

// Throws the Error that a backend's refusal means.
void check_status(Status status, const Stream& stream, const char* op);

}  // namespace embedcore
