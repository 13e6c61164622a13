// Models and engines shared by the whole process: a second load of the same files gives the same weights, and with the
// same options the same engine, also from another worker_thread. Both exist as long as somebody holds them.
#pragma once

#include <memory>

#include "engine/engine.h"

namespace embedcore {

// A device of a backend.
struct DeviceRef {
  DeviceRef(const Backend& of, int32_t number = 0) : backend(&of), index(number) {}
  const Backend* backend;
  int32_t index;
  bool operator==(const DeviceRef&) const = default;
};

// Loads a model or finds a loaded one. Loads of different files run in parallel; a load of the same files waits for the
// first one. A model whose device has failed is not found any more. keep_loading is called repeatedly and may throw to
// end this load. Throws Error, std::bad_alloc.
std::shared_ptr<Engine> open_engine(const ModelSource& source, DeviceRef device, const EngineOptions& options,
                                    const KeepLoading& keep_loading = {});

}  // namespace embedcore
