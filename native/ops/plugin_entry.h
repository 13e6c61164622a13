// The entry point of a shared library that holds a backend. The library is opened with dlopen and stays open until the
// process ends.
#pragma once

#include "ops/backend.h"

// The library's table, which lives as long as the process; null if `version` is not the kBackendVersion that the
// library was built with. Throws nothing. A machine without a usable device still gets the table, whose
// describe_device says why.
extern "C" __attribute__((visibility("default"))) const embedcore::Backend* embedcore_backend(uint32_t version);

namespace embedcore {

// For dlsym.
constexpr const char* kPluginEntryName = "embedcore_backend";
using PluginEntry = const Backend* (*)(uint32_t version);

}  // namespace embedcore
