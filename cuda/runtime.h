// The host's side of a device: memory, streams, events, graphs and launches. Implemented by runtime_cuda.cu (the CUDA
// runtime) and emulator/runtime.cc. Every function returns an Error and never throws.
#pragma once

#include <cstddef>
#include <cstdint>

#include "launch.h"

namespace embedcore::cuda {

// A code of the CUDA runtime (cudaError_t); 0 is success.
enum class Error : int {
  kOk = 0,
  kInvalidValue = 1,
  kOutOfMemory = 2,
  kUnloading = 4,
  kDriverTooOld = 35,
  kNoDevice = 100,
  kInvalidDevice = 101,
  kNoKernelImage = 209,
  kIllegalAddress = 700,
  kLaunchFailed = 719,
};
const char* error_name(Error error);      // "cudaErrorMemoryAllocation"
const char* error_sentence(Error error);  // "out of memory"
// The device cannot be used by this process any more.
bool is_sticky(Error error);

struct Properties {
  char name[128];
  int major, minor, multiprocessors;
  size_t memory_bytes, l2_bytes;
  int shared_bytes_per_block, shared_bytes_per_multiprocessor;
};

// 0 where there is no driver; `driver` and `runtime` as CUDA counts them (13000 = 13.0), 0 = none. These do not
// initialise a device.
Error device_count(int* count);
Error versions(int* driver, int* runtime);
Error device_properties(int device, Properties* properties);
// The architecture (major * 10 + minor) of the library's code that a device of this one runs: its own, an older one, or
// 0 if there is none.
int code_for(int architecture);
// Initialises the device for the time of the call where this process does not use it.
Error memory_info(int device, size_t* free_bytes, size_t* total_bytes);
// The device of this thread's next calls. Initialises it, for as long as the process lives.
Error set_device(int device);

Error allocate(void** memory, size_t bytes);  // 256-byte aligned
Error release(void* memory);
Error allocate_pinned(void** memory, size_t bytes);  // host memory that copies do not stage
Error release_pinned(void* memory);

struct StreamHandle {
  void* stream = nullptr;
};
struct EventHandle {
  void* event = nullptr;
};
struct GraphHandle {
  void* graph = nullptr;
};

Error open_stream(StreamHandle* stream);
Error close_stream(StreamHandle stream);
Error wait_stream(StreamHandle stream);
// Whether all work of the stream is done.
Error query_stream(StreamHandle stream, bool* done);

// In the stream's order. The host memory must be pinned and stay until the copy is done.
Error copy_to_device(void* to, const void* from, size_t bytes, StreamHandle stream);
Error copy_to_host(void* to, const void* from, size_t bytes, StreamHandle stream);
Error copy_on_device(void* to, const void* from, size_t bytes, StreamHandle stream);
Error fill(void* memory, int byte, size_t bytes, StreamHandle stream);

Error open_event(EventHandle* event);
Error close_event(EventHandle event);
Error record(EventHandle event, StreamHandle stream);
Error wait_event(EventHandle event);
Error query_event(EventHandle event, bool* done);
Error stream_waits(StreamHandle stream, EventHandle event);

// Work given to the stream between begin_capture and end_capture is recorded and not run.
Error begin_capture(StreamHandle stream);
Error end_capture(StreamHandle stream, GraphHandle* graph);
Error launch_graph(GraphHandle graph, StreamHandle stream);
Error close_graph(GraphHandle graph);

// Two-dimensional, row-major, 16-bit elements, 128-byte swizzle: `columns` x `rows` with a row stride in bytes; the box
// is 64 x box_rows. What lies outside is read as zeros and not written.
Error make_tensor_map(TensorMap* map, const void* memory, int64_t columns, int64_t rows, int64_t stride_bytes,
                      int box_rows);

struct Grid {
  uint32_t x = 1, y = 1, z = 1;
};

// Whether a launch may begin before the kernel before it has ended (kernels that call wait_for_previous_kernel).
enum class Order { kAfterPrevious, kMayOverlap };

// Starts a kernel. More than 48 KB of shared memory are allowed up to the device's limit. The arguments are copied.
template <typename Kernel>
Error launch(StreamHandle stream, Grid grid, size_t shared_bytes, const typename Kernel::Args& args,
             Order order = Order::kAfterPrevious);

}  // namespace embedcore::cuda

#ifdef EMBEDCORE_EMULATED
#include "launch/emulated_launch.h"
#elif defined(__CUDACC__)
#include "launch/device_launch.h"
#endif
