// How many physical cores this process may use.
#pragma once

namespace embedcore {

// Cores of the affinity mask with hyper-thread siblings counted once, cut to the cgroup's CPU quota (rounded up). At least 1.
int usable_cores();

}  // namespace embedcore
