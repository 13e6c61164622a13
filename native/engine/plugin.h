// The CUDA backend: a shared library that is found at run time (ops/plugin_entry.h). A package without it is complete
// for the CPU.
#pragma once

#include <string>

#include "ops/backend.h"

namespace embedcore {

struct Plugin {
  std::string path;
  const Backend* backend = nullptr;  // null if it cannot be used
  bool absent = false;               // there is no library, and nobody named one
  std::string reason;                // why it cannot be used, and what to do
};

// The library of this path or, if it is empty, libembedcore_cuda.so beside the addon. It is opened at the first call,
// which may take hundreds of milliseconds, and stays open; the result is kept for the process, also a failure. Safe
// from any thread; others wait for the first. Throws std::bad_alloc.
const Plugin& open_plugin(const std::string& path);

// The description of a device, with a reason if it cannot be used.
DeviceInfo describe_device(const Backend& backend, int32_t index);
// Why a backend has no device.
std::string reason_for_none(const Backend& backend);

// The fastest dtype of a device whose vectors are near those of float32: bfloat16, or float16 where it does not compute
// in that, or float32. Opens the device. Throws Error(kDevice).
DType fast_dtype(const Backend& backend, int32_t index);

}  // namespace embedcore
