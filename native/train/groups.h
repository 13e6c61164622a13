// Runs the groups of a slab: in parallel on a host, one after the other on a device.
#pragma once

#include <exception>
#include <vector>

#include "train/texts.h"

namespace embedcore {

// Calls body(stream, group) for each group; the first failure, in the order of the groups, is thrown at the end.
template <typename Body>
void for_groups(Stream& stream, Slab& slab, Body&& body) {
  // A single group's operations are divided among the threads.
  if (slab.groups.size() == 1 || stream.queue) {
    for (Group& group : slab.groups) body(stream, group);
    return;
  }
  struct Run {
    Stream& stream;
    Slab& slab;
    Body& body;
    std::vector<std::exception_ptr> failures;
  } run{stream, slab, body, std::vector<std::exception_ptr>(slab.groups.size())};
  stream.parallel(
      stream.team, static_cast<int64_t>(slab.groups.size()),
      [](void* arg, int64_t task) {
        Run& all = *static_cast<Run*>(arg);
        try {
          Stream own;
          own.device = all.stream.device;
          all.body(own, all.slab.groups[static_cast<size_t>(task)]);
        } catch (...) {
          all.failures[static_cast<size_t>(task)] = std::current_exception();
        }
      },
      &run);
  for (const std::exception_ptr& failure : run.failures)
    if (failure) std::rethrow_exception(failure);
}

}  // namespace embedcore
