// Models and engines shared by the whole process: a second load of the same files gives the same weights, and with the
// same options the same engine, also from another worker_thread. Both live as long as somebody holds them.
#pragma once

#include <memory>

#include "engine/engine.h"

namespace embedcore {

// Loads or finds. Loads of different files run side by side; loads of the same files wait for the first. Throws Error.
std::shared_ptr<Engine> open_engine(const ModelSource& source, const Backend& backend, const EngineOptions& options);

}  // namespace embedcore
