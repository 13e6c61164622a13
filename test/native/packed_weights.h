// A device, and weights packed for it, for as long as a test needs them.
#pragma once

#include <gtest/gtest.h>

#include "ops/linear.h"

namespace embedcore::test {

struct OpenDevice {
  explicit OpenDevice(const Backend& owner) : backend(owner), device(owner.open_device(0, message, sizeof message)) {
    EXPECT_NE(device, nullptr) << message;
  }
  ~OpenDevice() { backend.close_device(device); }
  OpenDevice(const OpenDevice&) = delete;

  char message[160] = "";
  const Backend& backend;
  Device* const device;
};

struct PackedWeights {
  PackedWeights(const Backend& owner, const LinearWeights& from)
      : on(owner), status(owner.pack_linear(on.device, from, &weights)) {}
  ~PackedWeights() { on.backend.free_linear(weights); }
  PackedWeights(const PackedWeights&) = delete;

  OpenDevice on;
  PackedLinear* weights = nullptr;
  const Status status;
};

}  // namespace embedcore::test
