// The checked build compiles kernels as for ThreadSanitizer, so that every access to memory calls one of these
// functions. The sanitizer's own library is not linked.
#include "emulator/access.h"

#ifdef EMBEDCORE_EMULATED_CHECKED

using embedcore::cuda::emulator::Access;
using embedcore::cuda::emulator::check_access;
using embedcore::cuda::emulator::check_range;
using embedcore::cuda::emulator::current;
using embedcore::cuda::emulator::report_misaligned;

namespace {

// Code of the host, which is compiled with the kernels, has no current fiber.
template <int kBytes, Access kAccess, bool kAligned>
inline void see(void* at, const void* site) {
  if (!current) return;
  if (kAligned && reinterpret_cast<uintptr_t>(at) % kBytes != 0) report_misaligned(at, kBytes, site);
  check_access<kBytes, kAccess>(*current, at, site);
}

}  // namespace

#define EMULATED_HOOK(name) extern "C" __attribute__((visibility("hidden"))) void name
#define EMULATED_HOOKS(bytes)                                                                                         \
  EMULATED_HOOK(__tsan_read##bytes)(void* at) { see<bytes, Access::kRead, true>(at, __builtin_return_address(0)); }   \
  EMULATED_HOOK(__tsan_write##bytes)(void* at) { see<bytes, Access::kWrite, true>(at, __builtin_return_address(0)); } \
  EMULATED_HOOK(__tsan_unaligned_read##bytes)(void* at) {                                                             \
    see<bytes, Access::kRead, false>(at, __builtin_return_address(0));                                                \
  }                                                                                                                   \
  EMULATED_HOOK(__tsan_unaligned_write##bytes)(void* at) {                                                            \
    see<bytes, Access::kWrite, false>(at, __builtin_return_address(0));                                               \
  }
EMULATED_HOOKS(1)
EMULATED_HOOKS(2)
EMULATED_HOOKS(4)
EMULATED_HOOKS(8)
EMULATED_HOOKS(16)

EMULATED_HOOK(__tsan_read_range)(void* at, size_t bytes) {
  if (current) check_range(*current, at, bytes, Access::kRead, __builtin_return_address(0));
}
EMULATED_HOOK(__tsan_write_range)(void* at, size_t bytes) {
  if (current) check_range(*current, at, bytes, Access::kWrite, __builtin_return_address(0));
}
EMULATED_HOOK(__tsan_init)() {}
EMULATED_HOOK(__tsan_vptr_update)(void*, void*) {}
EMULATED_HOOK(__tsan_vptr_read)(void*) {}

// Static variables with a constructor and std::shared_ptr of the host's code; kernels have neither.
EMULATED_HOOK(__tsan_atomic_thread_fence)(int) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
#define EMULATED_ATOMIC_HOOKS(bits, type)                                                                          \
  extern "C" __attribute__((visibility("hidden"))) type __tsan_atomic##bits##_load(const volatile type* at, int) { \
    return __atomic_load_n(at, __ATOMIC_SEQ_CST);                                                                  \
  }                                                                                                                \
  EMULATED_HOOK(__tsan_atomic##bits##_store)(volatile type * at, type value, int) {                                \
    __atomic_store_n(at, value, __ATOMIC_SEQ_CST);                                                                 \
  }                                                                                                                \
  extern "C" __attribute__((visibility("hidden")))                                                                 \
  type __tsan_atomic##bits##_exchange(volatile type* at, type value, int) {                                        \
    return __atomic_exchange_n(at, value, __ATOMIC_SEQ_CST);                                                       \
  }                                                                                                                \
  extern "C" __attribute__((visibility("hidden")))                                                                 \
  type __tsan_atomic##bits##_fetch_add(volatile type* at, type value, int) {                                       \
    return __atomic_fetch_add(at, value, __ATOMIC_SEQ_CST);                                                        \
  }                                                                                                                \
  extern "C" __attribute__((visibility("hidden")))                                                                 \
  type __tsan_atomic##bits##_fetch_sub(volatile type* at, type value, int) {                                       \
    return __atomic_fetch_sub(at, value, __ATOMIC_SEQ_CST);                                                        \
  }                                                                                                                \
  extern "C" __attribute__((visibility("hidden"))) int __tsan_atomic##bits##_compare_exchange_strong(              \
      volatile type* at, type* expected, type value, int, int) {                                                   \
    return __atomic_compare_exchange_n(at, expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);            \
  }                                                                                                                \
  extern "C" __attribute__((visibility("hidden"))) int __tsan_atomic##bits##_compare_exchange_weak(                \
      volatile type* at, type* expected, type value, int, int) {                                                   \
    return __atomic_compare_exchange_n(at, expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);            \
  }
EMULATED_ATOMIC_HOOKS(8, unsigned char)
EMULATED_ATOMIC_HOOKS(32, unsigned int)
EMULATED_ATOMIC_HOOKS(64, unsigned long)

#endif
