// Selects the CPU backend.
#pragma once

#include <string>
#include <vector>

#include "ops/backend.h"
#include "ops/double_kernels.h"
#include "ops/word_kernels.h"

namespace embedcore {

struct CpuIsa {
  const char* name;              // "avx512bf16", "avx2", "plain", ...
  std::string reason;            // why it cannot run here; empty = it can
  const Backend* table;          // null when it cannot, or was not compiled in
  const WordKernels* words;      // the same
  const DoubleKernels* doubles;  // the same
};

// The best one first; "plain" is last and always runs.
const std::vector<CpuIsa>& cpu_isas();

// The backend by name, or null. "reference" is not one of them.
const Backend* cpu_backend(const char* isa);

// The best one, or the one that the environment variable EMBEDCORE_CPU_ISA names. An unknown or impossible name throws
// Error.
const Backend& default_cpu_backend();

}  // namespace embedcore
