// An opened GPU, and what an operation needs of it and of its stream.
//
// A GPU that an illegal access or a fault of its own has stopped cannot be used by this process any more: the first
// such error is kept (Gpu), and every later call fails with its sentence.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "device_memory.h"
#include "ops/backend.h"
#include "runtime.h"

namespace embedcore {

namespace cuda {

// A GPU of this process: what is the same for all who have it open. Lives as long as the process.
struct Gpu {
  int index = 0;
  std::atomic<bool> failed{false};
  // Written once, before `failed` is set.
  char sentence[160] = "";

  // Keeps the first failure. `what` was the attempt that ended so.
  void fail(Error error, const char* what) noexcept;

 private:
  std::mutex mutex_;
};
// Null if there is no memory for it.
Gpu* gpu(int index) noexcept;

class StreamState;

}  // namespace cuda

// Defined here for this backend. Opened once for each model.
struct Device {
  explicit Device(cuda::Gpu& gpu_of_device);
  ~Device();

  cuda::Gpu& gpu;
  int index = 0;
  // major * 10 + minor of the code that runs, which may be older than the GPU: a kernel for a later one is empty in it.
  int architecture = 0;
  cuda::Properties properties{};
  cuda::DeviceMemory memory;

  std::mutex mutex;
  // Guarded by mutex. Streams that are closed, with their staging memory, for the next that is opened.
  std::vector<std::unique_ptr<cuda::StreamState>> idle;
};

namespace cuda {

// --- for operations ---

// The stream that an operation launches its kernels on. Makes its device the current one of this thread.
StreamHandle stream_of(Stream& stream);

// Device memory for intermediate results of one operation. The next operation of the stream that asks gets the same
// memory again, which is safe because a stream runs its work in order. Null with a message in the stream if none is
// left. 256-byte aligned.
void* scratch(Stream& stream, size_t bytes);

// The Status of an Error, with a sentence in the stream's message that begins with `what`. A sticky error disables the
// device: all later calls on it fail with kDeviceFailed.
Status report(Stream& stream, Error error, const char* what);

// kBadArgument with this sentence.
Status refuse(Stream& stream, const char* sentence);

// Device memory for weights: null if none is left. 256-byte aligned. release(null) does nothing.
void* allocate(Device* device, size_t bytes);
void release(Device* device, void* memory);

// --- slots of the table ---

int32_t count_devices();
Status describe_device(int32_t index, DeviceInfo* info);
Device* open_device(int32_t index, char* message, size_t message_bytes);
void close_device(Device* device);
Status open_stream(Stream& stream);
void close_stream(Stream& stream);
Status upload(Stream& stream, void* to, const void* from, size_t bytes);
Status download(Stream& stream, void* to, const void* from, size_t bytes);
Status wait(Stream& stream);
Status begin_replay(Stream& stream, const void* key, size_t key_bytes, bool* replayed, ReplayNote* note);
Status end_replay(Stream& stream, const ReplayNote* note);

}  // namespace cuda
}  // namespace embedcore
