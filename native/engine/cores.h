// Processor cores: their number for this process, and the priority of threads.
#pragma once

#include <string>

namespace embedcore {

// The cores that the process's control group and those above it grant (Linux, version 1 and 2; may be a fraction); 0 =
// no limit. `root` replaces "/" in tests.
double cpu_quota(const std::string& root = "");

// Cores of the affinity mask with hyper-thread siblings counted once, cut to the cgroup's CPU quota (rounded up). At
// least 1.
int available_cores();

// Lowers the calling thread's priority (5 nice levels below its process, Linux only), so that the event loop and the
// tokenizer are scheduled first when cores are scarce.
void lower_priority();

}  // namespace embedcore
