// The checked build compiles kernels as for ThreadSanitizer and the bounds of UndefinedBehaviorSanitizer, so that every
// access to memory, and every wrong index of an array, calls one of these functions. The sanitizers' own libraries are
// not linked.
#include <cstdio>
#include <cstdlib>

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
  if (!current || current->outside) return;
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
  if (current && !current->outside) check_range(*current, at, bytes, Access::kRead, __builtin_return_address(0));
}
EMULATED_HOOK(__tsan_write_range)(void* at, size_t bytes) {
  if (current && !current->outside) check_range(*current, at, bytes, Access::kWrite, __builtin_return_address(0));
}
EMULATED_HOOK(__tsan_init)() {}
EMULATED_HOOK(__tsan_vptr_update)(void*, void*) {}
EMULATED_HOOK(__tsan_vptr_read)(void*) {}

namespace {

// What the compiler tells of an index: the types, of which `name` is all of the array's ("float [4]") in quotes.
struct IndexedType {
  uint16_t kind, bits;  // bits: log2 of the width in the upper 15, 1 = signed in the lowest
  char name[1];
};
struct IndexedArray {
  const char* file;
  uint32_t line, column;
  const IndexedType *array, *index;
};

}  // namespace

// An array of a kernel is in registers, which have no element beyond the last.
EMULATED_HOOK(__ubsan_handle_out_of_bounds)(const IndexedArray* of, uintptr_t index) {
  const auto value = static_cast<int64_t>(index);
  const bool narrow = of->index->bits >> 1 == 5 && (of->index->bits & 1) != 0;
  const auto number = static_cast<long long>(narrow ? static_cast<int32_t>(value) : value);
  if (current)
    embedcore::cuda::emulator::fail(__builtin_return_address(0), "index %lld is outside of an array %s", number,
                                    of->array->name);
  std::fprintf(stderr, "emulator: %s:%u: index %lld is outside of an array %s\n", of->file, of->line, number,
               of->array->name);
  std::abort();
}

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
