// The table that every backend fills in: operations, and the memory and streams they work on. The reference backend
// (plain loops) defines the correct results.
//
// Rules that hold for every operation:
// - Activations are row-major with a row stride counted in elements. They are float32, or float16 or bfloat16 if the
//   argument's dtype says so. Rows are tokens (or texts after pooling), and begin at any element.
// - All rows, ids, offsets, weights and tables of the arguments are device memory (allocate). Only a backend may touch
//   them; where `host_memory` is set they are host memory, and the caller may.
// - A row of a result depends only on its own inputs: not on the other rows of the call, their number, or the number of
//   threads that help. Every sum has a fixed order. This makes a text's vector identical to the last bit, alone and in
//   any batch.
// - Work that can be divided is given to Stream::parallel in tasks; the thread that runs a task does not affect its
//   result.
// - Operations on one stream happen in order. On a device they may still run when the function returns; wait() ends
//   when they are done and reports the first failure.
// - Returns kOk, or a Status with a sentence in Stream::message. A function never throws and never ends the process.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"

namespace embedcore {

enum Status : int32_t { kOk = 0, kOutOfMemory = 1, kBadArgument = 2, kDeviceFailed = 3 };

enum class Activation : int32_t { kIdentity, kGelu, kGeluTanh, kRelu, kSilu, kTanh, kSigmoid };

// One opened device of a backend. Its contents are defined by the backend; a CPU has none.
struct Device;

struct DeviceInfo {
  char name[128] = "";
  int32_t compute_capability = 0;  // major * 10 + minor; 0 on other devices
  int64_t memory_bytes = 0, free_bytes = 0;
  char driver[64] = "";   // "580.65.06, CUDA 13.0"; empty where there is none
  char reason[256] = "";  // why it cannot be used, and what to do; empty = it can be used
};

// The operations of one pass on one device, in order. Used by one thread at a time.
struct Stream {
  Device* device = nullptr;
  void* queue = nullptr;  // defined by the backend (open_stream)
  // Host backends: runs body(arg, 0 .. tasks-1), each once, in any order, possibly on several threads; returns when
  // all are done.
  void* team = nullptr;
  void (*parallel)(void* team, int64_t tasks, void (*body)(void* arg, int64_t task), void* arg) = run_in_order;
  char message[160] = "";

  static void run_in_order(void*, int64_t tasks, void (*body)(void* arg, int64_t task), void* arg) {
    for (int64_t task = 0; task < tasks; ++task) body(arg, task);
  }
};

// The operations, each with its arguments and a contract in ops/. All tables, declarations and checks are generated
// from this list.
#define EMBEDCORE_OPS(X)                           \
  X(linear, LinearArgs)         /* linear.h */     \
  X(attention, AttentionArgs)   /* attention.h */  \
  X(norm, NormArgs)             /* norm.h */       \
  X(embed, EmbedArgs)           /* embed.h */      \
  X(bag, BagArgs)               /* embed.h */      \
  X(activation, ActivationArgs) /* activation.h */ \
  X(pool, PoolArgs)             /* pool.h */       \
  X(fuse, FuseArgs)             /* fuse.h */       \
  X(normalize, NormalizeArgs)   /* vectors.h */    \
  X(similarity, SimilarityArgs) /* vectors.h */    \
  X(quantize, QuantizeArgs)     /* vectors.h */

// The operations of training, in the same form. A backend without training has none of them: its slots are null.
#define EMBEDCORE_TRAINING_OPS(X)                                    \
  X(dropout, DropoutArgs)                           /* dropout.h */  \
  X(linear_input_gradient, LinearInputGradientArgs) /* linear.h */   \
  X(linear_weight_gradient, LinearWeightGradientArgs)                \
  X(attention_gradient, AttentionGradientArgs) /* attention.h */     \
  X(attention_bias_gradient, AttentionBiasGradientArgs)              \
  X(norm_gradient, NormGradientArgs) /* norm.h */                    \
  X(norm_weight_gradient, NormWeightGradientArgs)                    \
  X(embed_gradient, EmbedGradientArgs)           /* embed.h */       \
  X(activation_gradient, ActivationGradientArgs) /* activation.h */  \
  X(pool_gradient, PoolGradientArgs)             /* pool.h */        \
  X(normalize_gradient, NormalizeGradientArgs)   /* vectors.h */     \
  X(contrastive, ContrastiveArgs)                /* contrastive.h */ \
  X(triplet, TripletArgs)                        /* triplet.h */     \
  X(pair_scores, PairScoresArgs)                 /* pairs.h */       \
  X(pair_gradient, PairGradientArgs)                                 \
  X(squared_error, SquaredErrorArgs)                                 \
  X(axpby, AxpbyArgs) /* optimizer.h */                              \
  X(sum_squares, SumSquaresArgs)                                     \
  X(adamw, AdamWArgs)

#define EMBEDCORE_DECLARE_ARGS(name, Args) struct Args;
EMBEDCORE_OPS(EMBEDCORE_DECLARE_ARGS)
EMBEDCORE_TRAINING_OPS(EMBEDCORE_DECLARE_ARGS)
#undef EMBEDCORE_DECLARE_ARGS
struct LinearWeights;

// Declares the functions of a backend's operations, in the backend's namespace.
#define EMBEDCORE_DECLARE_OP(name, Args) Status name(Stream& stream, const Args& args);

// The header of a backend's packed weights, in host memory; the backend defines what follows it.
struct PackedLinear {
  int64_t in = 0, out = 0;
  size_t bytes = 0;
  DType dtype = DType::kF32;
  bool backward = false;  // packed for kForwardAndBackward
};

// What the caller wants to know of recorded work: where its results are.
struct ReplayNote {
  uint64_t words[4] = {};
};

// Raised with every change of the table or of an argument struct: a plugin of another version is refused.
constexpr uint32_t kBackendVersion = 5;

struct Backend {
  uint32_t version = kBackendVersion;
  const char* name = "";  // "reference", "cpu-avx512", ...

  // Device memory is host memory: rows can be read and written in place, without upload and download.
  bool host_memory = true;
  // Tokens of a batch that suit the device; 0 = as many as there are, up to maxBatchTokens.
  int64_t batch_tokens = 0;
  // Batches in flight on one device: 1, or 2 if one can be computed while the next is uploaded.
  int32_t batches_in_flight = 1;

  int32_t (*device_count)() = nullptr;
  // Where device_count() is 0, index 0 fails and `reason` says why there is none.
  Status (*describe_device)(int32_t index, DeviceInfo* info) = nullptr;
  // Null with a sentence in `message` if it cannot be opened; it begins with "no memory" where that is the reason.
  Device* (*open_device)(int32_t index, char* message, size_t message_bytes) = nullptr;
  void (*close_device)(Device* device) = nullptr;
  // 64-byte aligned on a host, 256 on a device; null if no memory is left. release(null) does nothing.
  void* (*allocate)(Device* device, size_t bytes) = nullptr;
  void (*release)(Device* device, void* memory) = nullptr;

  // Makes and ends stream.queue.
  Status (*open_stream)(Stream& stream) = nullptr;
  void (*close_stream)(Stream& stream) = nullptr;
  // Copies between host memory and device memory, in the stream's order. The host memory must stay until wait().
  Status (*upload)(Stream& stream, void* to, const void* from, size_t bytes) = nullptr;
  Status (*download)(Stream& stream, void* to, const void* from, size_t bytes) = nullptr;
  Status (*wait)(Stream& stream) = nullptr;

  // Whether the device computes in this dtype: float32 (always), float16, bfloat16 or int8. Linear weights may be of
  // it, and, if it is a float dtype, rows where an argument has a dtype. What is not supported is refused with
  // kBadArgument (ops/checks.h).
  bool (*supports)(Device* device, DType dtype) = nullptr;

  // Weights in the backend's layout, made once from host memory. kOutOfMemory, or kBadArgument if the weights cannot be
  // packed in this way (linear.h). Freed with free_linear.
  Status (*pack_linear)(Device* device, const LinearWeights& weights, PackedLinear** packed) = nullptr;
  void (*free_linear)(PackedLinear* packed) = nullptr;
  // Packs new values, in device memory, into weights that were packed for kForwardAndBackward. bias may be null if the
  // weights have none, or keep it; weight null keeps the matrix. Null without training.
  Status (*repack_linear)(Stream& stream, PackedLinear* packed, const float* weight, const float* bias) = nullptr;

  // What attention needs to know of a batch on the host: writes int32 words, from the texts' offsets in host memory,
  // and returns their number; with null words it only counts. Null on a backend whose attention needs no plan.
  int64_t (*plan_attention)(const int32_t* offsets, int64_t texts, int32_t* words) = nullptr;

  // Work that comes again may be recorded and launched as a whole, which is cheaper for the host; null where it is not.
  // Between begin_replay and end_replay the caller gives operations of the stream and nothing else. `key` names all
  // that decides which operations these are, their arguments, and the addresses: equal keys mean equal work.
  // `replayed`: the work is launched already, must not be given, and has no end; `note` is that of the work's first
  // end_replay. Otherwise the work must be given and ended, and may run at its end only. A null note ends work that was
  // not given completely; it may have run in part or not at all.
  Status (*begin_replay)(Stream& stream, const void* key, size_t key_bytes, bool* replayed, ReplayNote* note) = nullptr;
  Status (*end_replay)(Stream& stream, const ReplayNote* note) = nullptr;

#define EMBEDCORE_SLOT(name, Args) Status (*name)(Stream & stream, const Args& args) = nullptr;
  EMBEDCORE_OPS(EMBEDCORE_SLOT)
  EMBEDCORE_TRAINING_OPS(EMBEDCORE_SLOT)
#undef EMBEDCORE_SLOT
};

}  // namespace embedcore
