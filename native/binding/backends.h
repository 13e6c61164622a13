// Selects the backend of a load or a comparison.
#pragma once

#include "ops/backend.h"

namespace embedcore {

// The best one for the CPU, or the one that EMBEDCORE_CPU_ISA names: an instruction set, "reference", or
// "reference-device". Reads the environment variable, so it is called only on JavaScript's thread. Throws Error if the
// name is unknown or cannot run.
const Backend& chosen_backend();
// The same if it works in host memory, else the reference: for vectors in JavaScript's memory.
const Backend& host_backend();

}  // namespace embedcore
