// Over-aligned memory, the kind that weights and the backends' scratch take, is counted and can be refused. The
// operators are in ops_memory_test.cc.
#pragma once

#include <atomic>

namespace embedcore::test {

// While it is set on a thread, allocations of that thread fail.
inline thread_local bool refuse_memory = false;

inline std::atomic<int> aligned_blocks{0};  // allocated and not yet freed

}  // namespace embedcore::test
