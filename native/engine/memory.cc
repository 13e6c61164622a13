#include "engine/memory.h"

#include <mutex>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace embedcore {

// One thread at a time. If another allocator replaces glibc's (a preloaded jemalloc, a sanitizer), this is the first
// call that reaches glibc's allocator. Its initialisation takes no lock, and if two threads run it, the process crashes
// when they exit.
void give_back_freed_memory() noexcept {
#if defined(__GLIBC__)
  static std::mutex one;
  std::lock_guard lock(one);
  malloc_trim(0);
#endif
}

}  // namespace embedcore
