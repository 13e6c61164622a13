// Streams, events and graphs of the emulator: work runs late, in the order of its stream, when somebody waits for it.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "runtime.h"

namespace embedcore::cuda::emulator {

struct DeviceState;
struct QueuedStream;

// The point in a stream that an event stands for.
struct Mark {
  QueuedStream* stream = nullptr;  // while it has not been reached
  bool reached = false;
};

// One piece of a stream's work: a kernel, a copy, a mark. Returns what it failed with.
using Work = std::function<Error(QueuedStream& stream)>;

struct RecordedGraph {
  std::vector<Work> work;
};

struct QueuedStream {
  DeviceState* device = nullptr;
  std::deque<Work> queue;
  bool running = false;  // its work is being run
  bool capturing = false, capture_failed = false;
  uint32_t last_kernel_epoch = 0;  // of the checked build: the kernel that a launch may overlap; 0 = none
  std::shared_ptr<RecordedGraph> recorded;
};

struct DeviceState {
  int index = 0;
  Error error = Error::kOk;  // a sticky one
  int64_t launches = 0, allocations = 0;
  std::vector<QueuedStream*> streams;
  // Kernels that ran, for the seed of the next one.
  uint64_t runs = 0;
};

// Guards all of the above and the memory of the devices; held while work runs.
std::recursive_mutex& runtime_lock();
DeviceState& device_state(int device);
int current_device();

// The functions below expect the lock.

// Adds work to the stream, or to the graph that it records.
Error enqueue(StreamHandle stream, Work work);
// Runs the stream's work, all of it or until the mark is reached.
Error drain(QueuedStream& stream, const Mark* until = nullptr);
Error drain_device(DeviceState& device);

}  // namespace embedcore::cuda::emulator
