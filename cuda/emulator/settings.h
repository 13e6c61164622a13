// What is emulated. Read from the environment once; tests set it through control.h.
#pragma once

#include <cstddef>
#include <cstdint>

namespace embedcore::cuda::emulator {

// EMBEDCORE_EMULATED_FAULT, "<error> after <n> launches" or "... allocations": the call after the n-th one fails.
struct Fault {
  enum class What { kNothing, kIllegalAddress, kLaunchFailed, kOutOfMemory };
  What what = What::kNothing;
  bool in_allocations = false;
  int64_t after = 0;
};

// EMBEDCORE_EMULATED_CODE, what the library was built for, such as "75,80,ptx80"; nothing = for every card.
struct Code {
  int machine_code[8] = {};
  int count = 0;
  int ptx = 0;
};

struct Settings {
  int architecture = 80;    // EMBEDCORE_EMULATED_ARCH: 75, 80, 86, 89, 90 (runs kSm90a), 100
  int devices = 1;          // EMBEDCORE_EMULATED_DEVICES
  int multiprocessors = 4;  // EMBEDCORE_EMULATED_MULTIPROCESSORS
  Code code;
  size_t memory = 16ull << 30;  // EMBEDCORE_EMULATED_MEMORY, bytes or with K, M, G; of each device
  int driver = 13000;           // EMBEDCORE_EMULATED_DRIVER, the driver's CUDA version; 0 = no driver
  int threads = 1;              // EMBEDCORE_EMULATED_THREADS: threads of the system that run blocks of a launch
  // EMBEDCORE_EMULATED_SEED: 0 runs blocks, warps and lanes in their natural order, others shuffle it. It also seeds
  // the errors of the approximate functions.
  uint64_t seed = 0;
  Fault fault;
};

Settings settings_of_environment();
const Settings& settings();
// The architecture of the code that the emulated cards run, 0 if there is none (code_choice.h).
int code_architecture();
// Only between launches.
void set_settings(const Settings& settings);

}  // namespace embedcore::cuda::emulator
