#include "engine/memory.h"

#include <mutex>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace embedcore {

// One thread at a time: where another allocator stands in for glibc's (a preloaded jemalloc, a sanitizer), this call is
// the first that glibc's own sees, its set-up takes no lock, and two threads that both make it end the process when
// they exit.
void give_back_freed_memory() noexcept {
#if defined(__GLIBC__)
  static std::mutex one;
  std::lock_guard lock(one);
  malloc_trim(0);
#endif
}

}  // namespace embedcore
