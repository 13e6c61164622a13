#include "base/team.h"

namespace embedcore {

bool Team::take() {
  const int64_t task = next_.fetch_add(1, std::memory_order_relaxed);
  if (task >= tasks_) return false;
  body_(arg_, task);
  return true;
}

void Team::run(int64_t tasks, Body body, void* arg) {
  // Where help is wanted the run is open from its first task on: a helper may still be waking up, and one task may be a
  // group of texts through all layers.
  if (tasks == 1 || (!wants_help.load(std::memory_order_relaxed) && helpers.load(std::memory_order_relaxed) == 0)) {
    for (int64_t task = 0; task < tasks; ++task) body(arg, task);
    return;
  }
  tasks_ = tasks;
  body_ = body;
  arg_ = arg;
  next_.store(0, std::memory_order_relaxed);
  open_.store(true);  // publishes the fields above
  while (take()) {
  }
  // A helper enters (inside_) and then looks at open_; the leader closes and then looks at inside_. In the one total
  // order of these operations either the helper sees it closed or the leader sees the helper.
  open_.store(false);
  while (inside_.load() != 0) pause_briefly();
}

bool Team::help() {
  inside_.fetch_add(1);
  bool worked = false;
  if (open_.load())
    while (take()) worked = true;
  inside_.fetch_sub(1);
  return worked;
}

}  // namespace embedcore
