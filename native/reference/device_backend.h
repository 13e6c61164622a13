// The reference with the boundaries of a device, for tests: to the rest of the program it behaves like a GPU.
//
// - Its memory has a separate range of addresses, which only its operations may access; any other access ends the
//   process.
// - Operations, uploads and downloads run only when the stream is waited for.
// - An operation whose arguments are not device memory is refused.
#pragma once

#include "ops/backend.h"

namespace embedcore {

const Backend& reference_device_backend();

}  // namespace embedcore
