// Launching a kernel in the emulator.
#pragma once

#include <type_traits>

#include "emulator/launch.h"

namespace embedcore::cuda {

template <typename Kernel>
Error launch(StreamHandle stream, Grid grid, size_t shared_bytes, const typename Kernel::Args& args, Order order) {
  using Args = typename Kernel::Args;
  static_assert(std::is_trivially_copyable_v<Args> && sizeof(Args) <= 4096);
  static_assert(Kernel::kThreads % 32 == 0 && Kernel::kThreads > 0 && Kernel::kThreads <= 1024);
  static const char* name = emulator::kernel_name(__PRETTY_FUNCTION__);
  const emulator::KernelInfo kernel{
      .name = name,
      .threads = Kernel::kThreads,
      .min_blocks = Kernel::kMinBlocks,
      .architecture = static_cast<int>(Kernel::kArch),
      .run = [](const void* kept) { Kernel::run(*static_cast<const Args*>(kept)); },
  };
  return emulator::enqueue_kernel(stream, kernel, grid, shared_bytes, &args, sizeof args, order == Order::kMayOverlap);
}

}  // namespace embedcore::cuda
