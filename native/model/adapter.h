// What a call adds to the weights of a model: low-rank updates of its matrices, and the dropout of a training pass.
#pragma once

#include <cstdint>
#include <vector>

#include "ops/linear.h"

namespace embedcore {

// Low-rank updates of a layer's matrices (LoRA); an empty list changes nothing.
struct LayerAdapter {
  std::vector<LoraPart> qkv, output, up, down;
  bool empty() const { return qkv.empty() && output.empty() && up.empty() && down.empty(); }
};

// The dropout of one pass: `rows` names the rows of the call.
struct DropoutOfPass {
  uint64_t seed = 0;
  const RowKey* rows = nullptr;  // device memory

  Dropout at(float rate, uint32_t site) const { return {.rate = rate, .seed = seed, .site = site, .rows = rows}; }
};

}  // namespace embedcore
