// Memory that tests can refuse: every operator new of the test program is counted, and the Nth allocation of chosen
// threads fails once.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <functional>

namespace embedcore::test {

// While it is set on a thread, over-aligned allocations of that thread fail; weights and the backends' scratch use this
// kind.
inline thread_local bool refuse_memory = false;

inline std::atomic<int> aligned_blocks{0};   // over-aligned, allocated and not yet freed
inline std::atomic<int64_t> live_blocks{0};  // of every kind

enum class Whose { kThisThread, kOtherThreads, kAllThreads };

// While it exists, the Nth allocation of these threads fails once. Only one may exist at a time.
class MemoryFailure {
 public:
  MemoryFailure(Whose whose, int64_t n);
  ~MemoryFailure();
  MemoryFailure(const MemoryFailure&) = delete;
  MemoryFailure& operator=(const MemoryFailure&) = delete;
  // Whether there were that many allocations.
  static bool happened();
};

// Calls attempt(n) for n = 1, 2, ... until it returns false: that its nth allocation did not fail because it had fewer.
// Aborts the process with the operation's name and n when an attempt does not end.
void for_each_allocation(const char* operation, const std::function<bool(int64_t n)>& attempt);

}  // namespace embedcore::test
