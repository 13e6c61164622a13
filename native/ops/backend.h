// The table of operations that every backend fills in: reference (plain loops, the definition of right), cpu, cuda.
//
// Rules that hold for every function of the table:
// - Activations are row-major with a row stride counted in elements; float32, or bfloat16 where an argument has a dtype
// that says so. Rows are
//   tokens (or texts after pooling).
// - A row of a result depends on that row's own inputs alone and on nothing else: not on the other rows of the call,
// not on
//   their number, not on how many threads help. Every sum has one fixed order. This is what makes a text's vector
//   bit-identical alone and in any batch.
// - Work that can be divided is given to Scope::parallel in tasks; who runs a task never changes what it computes.
// - Returns kOk, or a Status with a sentence in Scope::message. No exception and no abort leaves a function.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"

namespace embedcore {

enum Status : int32_t { kOk = 0, kOutOfMemory = 1, kBadArgument = 2 };

enum class Activation : int32_t { kIdentity, kGelu, kGeluTanh, kRelu, kSilu, kTanh, kSigmoid };

// What a running operation may use of its surroundings.
struct Scope {
  void* team;
  // Runs body(arg, 0 .. tasks-1), each once, in any order, possibly on several threads; returns when all are done.
  void (*parallel)(void* team, int64_t tasks, void (*body)(void* arg, int64_t task), void* arg);
  char message[160];
};

struct LinearArgs;
struct LinearWeights;
struct AttentionArgs;
struct NormArgs;
struct EmbedArgs;
struct GateArgs;
struct PoolArgs;
struct BagArgs;
struct CombineArgs;
struct NormalizeArgs;
struct SimilarityArgs;
struct QuantizeArgs;

// The head of a backend's packed weights; what follows it is the backend's own.
struct PackedLinear {
  int64_t in, out;
  size_t bytes;
  DType dtype;
};

constexpr uint32_t kBackendVersion = 2;

struct Backend {
  uint32_t version;
  const char* name;  // "reference", "cpu-avx512", ...

  // Weights in the backend's own layout, made once. Freed with free_linear. Null when memory ran out or `in` is more
  // than the dtype can sum.
  PackedLinear* (*pack_linear)(const LinearWeights& weights);
  void (*free_linear)(PackedLinear* packed);

  Status (*linear)(Scope& scope, const LinearArgs& args);          // linear.h
  Status (*attention)(Scope& scope, const AttentionArgs& args);    // attention.h
  Status (*norm)(Scope& scope, const NormArgs& args);              // norm.h
  Status (*embed)(Scope& scope, const EmbedArgs& args);            // embed.h
  Status (*gate)(Scope& scope, const GateArgs& args);              // gate.h
  Status (*pool)(Scope& scope, const PoolArgs& args);              // pool.h
  Status (*bag)(Scope& scope, const BagArgs& args);                // embed.h
  Status (*combine)(Scope& scope, const CombineArgs& args);        // combine.h
  Status (*normalize)(Scope& scope, const NormalizeArgs& args);    // vectors.h
  Status (*similarity)(Scope& scope, const SimilarityArgs& args);  // vectors.h
  Status (*quantize)(Scope& scope, const QuantizeArgs& args);      // vectors.h
};

}  // namespace embedcore
