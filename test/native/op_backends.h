// The backends that the tests of the operations run on, and a device of each.
#pragma once

#include <string>
#include <vector>

#include "ops/backend.h"

namespace embedcore::test {

// Every table under test: the instruction sets that this processor has ("plain" always is one), the reference behind
// the boundary of a device, and the table of the library that the environment variable EMBEDCORE_TEST_BACKEND names.
const std::vector<const Backend*>& fast_backends();

// Of these, the ones whose device memory is host memory.
std::vector<const Backend*> host_backends();

// The table of a shared library (ops/plugin_entry.h), which stays open; or null, and why.
const Backend* open_backend_library(const char* path, std::string& reason);

// The first device of a backend, opened once and closed when the process ends.
Device* device_of(const Backend& backend);

// Of these dtypes, the ones that the device of a backend supports.
template <typename List>
std::vector<DType> supported(const Backend& backend, const List& dtypes) {
  std::vector<DType> list;
  for (const DType dtype : dtypes)
    if (backend.supports(device_of(backend), dtype)) list.push_back(dtype);
  return list;
}

}  // namespace embedcore::test
