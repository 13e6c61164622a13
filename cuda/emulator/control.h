// For tests of the emulator and of kernels.
#pragma once

#include "emulator/report.h"
#include "emulator/settings.h"

namespace embedcore::cuda::emulator {

// A new process, as it were: sticky errors and counters are forgotten, work that has not run is dropped. Streams,
// events and memory stay; release them.
void reset_devices();

}  // namespace embedcore::cuda::emulator
