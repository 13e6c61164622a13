// Processor cores: how many this process may use, and who goes first on them.
#pragma once

namespace embedcore {

// Cores of the affinity mask with hyper-thread siblings counted once, cut to the cgroup's CPU quota (rounded up). At
// least 1.
int available_cores();

// The calling thread gives way to the process's other threads where there are not cores for all: the event loop and the
// tokenizer, whose work is short and waited for. Their share of a busy core is three times this thread's. Linux alone
// has it; elsewhere nothing happens.
void lower_priority();

}  // namespace embedcore
