// The checked build: what is known about every byte that kernels access. In the plain build all of this is empty.
#pragma once

#include <cstddef>
#include <cstdint>

#ifdef EMBEDCORE_EMULATED_CHECKED
// Functions of the launch layer are not instrumented and not inlined, so that their caller is a line of the kernel.
#define EMULATED inline __attribute__((noinline, no_sanitize("thread")))
#define EMULATED_PART inline __attribute__((always_inline, no_sanitize("thread")))
#define EMULATED_BODY __attribute__((always_inline, no_sanitize("thread")))
#define EMULATED_SITE __builtin_return_address(0)
#else
#define EMULATED inline
#define EMULATED_PART inline
#define EMULATED_BODY
#define EMULATED_SITE nullptr
#endif

namespace embedcore::cuda::emulator {

#ifdef EMBEDCORE_EMULATED_CHECKED
constexpr bool kChecked = true;
#else
constexpr bool kChecked = false;
#endif

struct BlockCheck;  // shadow.h
struct LaunchCheck;

}  // namespace embedcore::cuda::emulator
