// Preloaded by the scripts beside it (Linux): makes pthread_create and operator new fail for callers inside the addon.
//
// EMBEDCORE_FAULTS names a file of two 64-bit numbers, which the script writes while it runs: after so many threads, or
// allocations, one fails; 0 = none does. A call that libstdc++ makes for the addon counts as the addon's.
#include <dlfcn.h>
#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

namespace {

struct Control {
  std::atomic<int64_t> threads, allocations;
};

Control* control() {
  static Control* const mapped = []() -> Control* {
    const char* path = std::getenv("EMBEDCORE_FAULTS");
    const int file = path ? ::open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0) return nullptr;
    void* memory = ::mmap(nullptr, sizeof(Control), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    ::close(file);
    return memory == MAP_FAILED ? nullptr : static_cast<Control*>(memory);
  }();
  return mapped;
}

bool inside(const void* address, const char* library) {
  Dl_info info;
  return ::dladdr(address, &info) != 0 && info.dli_fname && std::strstr(info.dli_fname, library);
}

// Whether the addon called, directly or through libstdc++.
bool from_addon(const void* caller) {
  if (inside(caller, "embedcore.node")) return true;
  if (!inside(caller, "libstdc++")) return false;
  void* frames[24];
  const int count = ::backtrace(frames, 24);
  int i = 0;
  while (i < count && frames[i] != caller) ++i;
  for (; i < count; ++i) {
    if (inside(frames[i], "libstdc++")) continue;
    return inside(frames[i], "embedcore.node");
  }
  return false;
}

bool fails(std::atomic<int64_t>& left, const void* caller) {
  thread_local bool looking = false;  // what looks at the stack may take memory itself
  if (left.load(std::memory_order_relaxed) <= 0 || looking) return false;
  looking = true;
  const bool ours = from_addon(caller);
  looking = false;
  return ours && left.fetch_sub(1) == 1;
}

void* allocate(std::size_t size, const void* caller) {
  if (Control* faults = control(); faults && fails(faults->allocations, caller)) return nullptr;
  return std::malloc(size > 0 ? size : 1);
}

void* allocate(std::size_t size, std::align_val_t alignment, const void* caller) {
  if (Control* faults = control(); faults && fails(faults->allocations, caller)) return nullptr;
  const auto step = static_cast<std::size_t>(alignment);
  return std::aligned_alloc(step, (size + step - 1) / step * step);
}

void* or_throw(void* memory) {
  if (!memory) throw std::bad_alloc();
  return memory;
}

}  // namespace

#define CALLER __builtin_return_address(0)

void* operator new(std::size_t size) { return or_throw(allocate(size, CALLER)); }
void* operator new[](std::size_t size) { return or_throw(allocate(size, CALLER)); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return allocate(size, CALLER); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return allocate(size, CALLER); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return or_throw(allocate(size, alignment, CALLER));
}
void* operator new(std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return allocate(size, alignment, CALLER);
}

extern "C" int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*body)(void*),
                              void* argument) noexcept {
  using Create = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  static const auto create = reinterpret_cast<Create>(::dlsym(RTLD_NEXT, "pthread_create"));
  if (Control* faults = control(); faults && fails(faults->threads, CALLER)) return EAGAIN;
  return create(thread, attributes, body, argument);
}
