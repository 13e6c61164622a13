// An opened GPU, its streams, and what an operation needs of them.
#pragma once

#include "ops/backend.h"
#include "runtime.h"

namespace embedcore {

// Defined here for this backend.
struct Device {
  int index = 0;
  int architecture = 0;  // major * 10 + minor
  cuda::Properties properties{};
};

namespace cuda {

// The stream that an operation launches its kernels on.
StreamHandle stream_of(Stream& stream);

// Device memory for intermediate results of one operation. The next operation of the stream that asks gets the same
// memory again, which is safe because a stream runs its work in order. Null with a message in the stream if none is
// left. 256-byte aligned.
void* scratch(Stream& stream, size_t bytes);

// The Status of an Error, with a sentence in the stream's message that begins with `what`. A sticky error disables the
// device: all later calls on it fail with kDeviceFailed.
Status report(Stream& stream, Error error, const char* what);

// kBadArgument with this sentence.
Status refuse(Stream& stream, const char* sentence);

// Device memory for weights: null if none is left. 256-byte aligned. release(null) does nothing.
void* allocate(Device* device, size_t bytes);
void release(Device* device, void* memory);

}  // namespace cuda
}  // namespace embedcore
