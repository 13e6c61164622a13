// Preloaded by the scripts of test/abuse (Linux): makes pthread_create and operator new fail for callers inside the
// addon.
//
// EMBEDCORE_FAULTS names a file of two 64-bit numbers, which the script writes while it runs: the number of threads and
// of allocations until one fails; 0 = none fails. A call that libstdc++ makes for the addon counts as the addon's.
#include <dlfcn.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
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

// Where a library is in memory; looked for until it is loaded. It stays loaded.
class Library {
 public:
  constexpr explicit Library(const char* name) : name_(name) {}
  bool holds(const void* address) {
    const auto at = reinterpret_cast<uintptr_t>(address);
    if (end_ == 0) ::dl_iterate_phdr(find, this);
    return at >= begin_ && at < end_;
  }

 private:
  static int find(dl_phdr_info* info, size_t, void* data) {
    auto& self = *static_cast<Library*>(data);
    if (!std::strstr(info->dlpi_name, self.name_)) return 0;
    uintptr_t begin = UINTPTR_MAX, end = 0;
    for (int i = 0; i < info->dlpi_phnum; ++i) {
      const auto& part = info->dlpi_phdr[i];
      if (part.p_type != PT_LOAD) continue;
      begin = std::min<uintptr_t>(begin, info->dlpi_addr + part.p_vaddr);
      end = std::max<uintptr_t>(end, info->dlpi_addr + part.p_vaddr + part.p_memsz);
    }
    self.begin_ = begin;
    self.end_ = end;
    return 1;
  }
  const char* const name_;
  std::atomic<uintptr_t> begin_{0}, end_{0};
};
constinit Library addon("embedcore.node"), standard("libstdc++");

// Whether the addon called, directly or through libstdc++.
bool from_addon(const void* caller) {
  if (addon.holds(caller)) return true;
  if (!standard.holds(caller)) return false;
  void* frames[24];
  const int count = ::backtrace(frames, 24);
  int i = 0;
  while (i < count && frames[i] != caller) ++i;
  while (i < count && standard.holds(frames[i])) ++i;
  return i < count && addon.holds(frames[i]);
}

bool fails(std::atomic<int64_t>& left, const void* caller) {
  thread_local bool looking = false;  // reading the stack may allocate memory too
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
void* operator new(std::size_t size, std::align_val_t alignment) { return or_throw(allocate(size, alignment, CALLER)); }
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
