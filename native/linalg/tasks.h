// Divides work among the threads of a stream.
#pragma once

#include "ops/backend.h"

namespace embedcore {

// body(task) for 0 .. tasks - 1, each once, in any order.
template <typename Body>
void run_tasks(const Stream& team, int64_t tasks, const Body& body) {
  team.parallel(
      team.team, tasks, [](void* arg, int64_t task) { (*static_cast<const Body*>(arg))(task); },
      const_cast<void*>(static_cast<const void*>(&body)));
}

}  // namespace embedcore
