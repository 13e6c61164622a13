// The reference behind a device boundary: what a GPU is to the rest of the program, on the CPU. For tests.
//
// - Its memory has addresses of its own, which only its operations may touch: any other access ends the process.
// - Operations, uploads and downloads run when the stream is waited for, and not before.
// - An operation whose arguments are not device memory is refused.
#pragma once

#include "ops/backend.h"

namespace embedcore {

const Backend& reference_device_backend();

}  // namespace embedcore
