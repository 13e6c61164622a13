// Runs the groups of a slab: in parallel on a host, as one call on a device.
#pragma once

#include <exception>
#include <vector>

#include "train/texts.h"

namespace embedcore {

// Calls body(stream, group) for each group; the first failure, in the order of the groups, is thrown at the end.
template <typename Body>
void for_groups(Stream& stream, Slab& slab, Body&& body) {
  if (slab.groups.size() == 1) {
    body(stream, slab.groups.front());  // its operations are divided among the threads
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
