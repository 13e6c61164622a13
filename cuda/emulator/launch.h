// What launch<Kernel> of the emulator calls.
#pragma once

#include <cstddef>
#include <cstdint>

namespace embedcore::cuda {
struct StreamHandle;
struct Grid;
enum class Error : int;
}  // namespace embedcore::cuda

namespace embedcore::cuda::emulator {

struct KernelInfo;

// Checks the launch, copies the arguments and puts it into the stream.
Error enqueue_kernel(StreamHandle stream, const KernelInfo& kernel, Grid grid, size_t shared_bytes, const void* args,
                     size_t args_bytes, bool may_overlap);

// "Kernel" out of the compiler's name of a function with that template argument; kept for ever.
const char* kernel_name(const char* function);

}  // namespace embedcore::cuda::emulator
