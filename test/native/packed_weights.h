// Weights packed for a device, for as long as a test needs them.
#pragma once

#include "op_backends.h"
#include "ops/linear.h"

namespace embedcore::test {

struct PackedWeights {
  PackedWeights(const Backend& owner, const LinearWeights& from)
      : backend(owner), status(owner.pack_linear(device_of(owner), from, &weights)) {}
  ~PackedWeights() { backend.free_linear(weights); }
  PackedWeights(const PackedWeights&) = delete;

  const Backend& backend;
  PackedLinear* weights = nullptr;
  const Status status;
};

}  // namespace embedcore::test
