// Over-aligned memory, the kind that weights and the backends' scratch take, is counted and can be refused. The
// operators are in ops_memory_test.cc.
#pragma once

#include <atomic>

namespace embedcore::test {

// While it is set on a thread, that thread gets none.
inline thread_local bool refuse_memory = false;

inline std::atomic<int> aligned_blocks{0};  // taken and not yet given back

}  // namespace embedcore::test
