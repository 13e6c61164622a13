// Selects the backend of a load or a comparison.
#pragma once

#include <string>

#include "engine/registry.h"
#include "ops/backend.h"
#include "ops/double_kernels.h"
#include "ops/word_kernels.h"

namespace embedcore {

// The best one for the CPU, or the one that EMBEDCORE_CPU_ISA names: an instruction set, "reference", or
// "reference-device". Reads the environment variable, so it is called only on JavaScript's thread. Throws Error if the
// name is unknown or cannot run.
const Backend& chosen_backend();
// The one that has the name which chosen_backend() gave earlier. Throws Error where there is none.
const Backend& named_backend(const std::string& name);
// The device of a load: "cpu", of the backend of this name, or "cuda:0", of the library of this path (engine/plugin.h).
// May open the library. Throws Error(kDevice).
DeviceRef named_device(const std::string& id, const std::string& isa, const std::string& library);
// "cpu" or "cuda:0".
std::string device_id(const OpenDevice& device);
// chosen_backend() where it works in host memory, else the reference: for vectors that JavaScript holds.
const Backend& host_backend();
// The kernels of Word2Vec of the same choice; those of the reference for "reference-device" too.
const WordKernels& chosen_word_kernels();
// And those of linear algebra.
const DoubleKernels& chosen_double_kernels();

}  // namespace embedcore
