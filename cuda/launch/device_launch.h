// Launching a kernel on a GPU.
#pragma once

#include <cuda_runtime.h>

namespace embedcore::cuda {

template <typename Kernel>
__global__ void __launch_bounds__(Kernel::kThreads, Kernel::kMinBlocks)
    kernel_entry(const __grid_constant__ typename Kernel::Args args) {
#ifdef EMBEDCORE_CUDA_REPORT
  // For scripts/cuda-report.mjs, which reads the PTX.
  if constexpr (requires { Kernel::kSharedBytes; })
    asm volatile("// shared bytes %0" ::"n"(static_cast<int>(Kernel::kSharedBytes)));
#endif
  if constexpr (kCompiledFor<Kernel::kArch>) Kernel::run(args);
}

template <typename Kernel>
Error launch(StreamHandle stream, Grid grid, size_t shared_bytes, const typename Kernel::Args& args, Order order) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return Error::kOk;
  if (shared_bytes > 48 * 1024) {
    const cudaError_t error = cudaFuncSetAttribute(kernel_entry<Kernel>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                   static_cast<int>(shared_bytes));
    if (error != cudaSuccess) return static_cast<Error>(error);
  }
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(grid.x, grid.y, grid.z);
  config.blockDim = dim3(Kernel::kThreads);
  config.dynamicSmemBytes = shared_bytes;
  config.stream = static_cast<cudaStream_t>(stream.stream);
  cudaLaunchAttribute overlap{};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  config.attrs = &overlap;
  config.numAttrs = order == Order::kMayOverlap ? 1 : 0;
  return static_cast<Error>(cudaLaunchKernelEx(&config, kernel_entry<Kernel>, args));
}

}  // namespace embedcore::cuda
