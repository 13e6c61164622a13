#include "emulator/stream.h"

#include <algorithm>

#include "emulator/control.h"
#include "emulator/memory.h"

namespace embedcore::cuda::emulator {

namespace {

constexpr auto kCaptureUnsupported = static_cast<Error>(900);
thread_local int thread_device = 0;

// Opens the memory of all devices while work runs.
class OpenMemory {
 public:
  OpenMemory() {
    if (depth_++ == 0)
      for (int i = 0; i < kMaxDevices; ++i) memory_of_device(i).open();
  }
  ~OpenMemory() {
    if (--depth_ == 0)
      for (int i = 0; i < kMaxDevices; ++i) memory_of_device(i).close();
  }
  OpenMemory(const OpenMemory&) = delete;

 private:
  static inline int depth_ = 0;  // guarded by the runtime's lock
};

QueuedStream& queued(StreamHandle stream) { return *static_cast<QueuedStream*>(stream.stream); }

// An event: the mark of its last record.
struct RecordedEvent {
  std::shared_ptr<Mark> mark;
};
RecordedEvent& recorded(EventHandle event) { return *static_cast<RecordedEvent*>(event.event); }

}  // namespace

std::recursive_mutex& runtime_lock() {
  static auto* mutex = new std::recursive_mutex;
  return *mutex;
}

DeviceState& device_state(int device) {
  static auto* states = [] {
    auto* made = new DeviceState[kMaxDevices];
    for (int i = 0; i < kMaxDevices; ++i) made[i].index = i;
    return made;
  }();
  return states[device];
}

int current_device() { return thread_device; }

Error enqueue(StreamHandle stream, Work work) {
  if (!stream.stream) return Error::kInvalidValue;
  QueuedStream& to = queued(stream);
  if (to.device->error != Error::kOk) return to.device->error;
  if (to.capturing) {
    to.recorded->work.push_back(std::move(work));
  } else {
    to.queue.push_back(std::move(work));
  }
  return Error::kOk;
}

Error drain(QueuedStream& stream, const Mark* until) {
  DeviceState& device = *stream.device;
  if (stream.running) return device.error;
  stream.running = true;
  Error first = Error::kOk;
  if (!stream.queue.empty() && device.error == Error::kOk) {
    OpenMemory open;
    while (!stream.queue.empty() && device.error == Error::kOk && !(until && until->reached)) {
      const Work work = std::move(stream.queue.front());
      stream.queue.pop_front();
      const Error error = work(stream);
      if (is_sticky(error)) device.error = error;
      if (first == Error::kOk) first = error;
    }
  }
  if (device.error != Error::kOk) stream.queue.clear();
  stream.running = false;
  return device.error != Error::kOk ? device.error : first;
}

Error drain_device(DeviceState& device) {
  for (QueuedStream* stream : device.streams) drain(*stream);
  return device.error;
}

void reset_devices() {
  std::lock_guard lock(runtime_lock());
  for (int i = 0; i < kMaxDevices; ++i) {
    DeviceState& device = device_state(i);
    device.error = Error::kOk;
    device.launches = device.allocations = 0;
    device.runs = 0;
    for (QueuedStream* stream : device.streams) {
      stream->queue.clear();
      stream->capturing = false;
      stream->recorded.reset();
    }
  }
}

}  // namespace embedcore::cuda::emulator

namespace embedcore::cuda {

using namespace emulator;

Error set_device(int device) {
  if (device < 0 || device >= settings().devices) return Error::kInvalidDevice;
  thread_device = device;
  return device_state(device).error;
}

Error open_stream(StreamHandle* stream) {
  std::lock_guard lock(runtime_lock());
  DeviceState& device = device_state(current_device());
  if (device.error != Error::kOk) return device.error;
  auto made = std::make_unique<QueuedStream>();
  made->device = &device;
  device.streams.push_back(made.get());
  stream->stream = made.release();
  return Error::kOk;
}

Error close_stream(StreamHandle stream) {
  std::lock_guard lock(runtime_lock());
  if (!stream.stream) return Error::kInvalidValue;
  QueuedStream& closed = queued(stream);
  const Error error = drain(closed);
  std::erase(closed.device->streams, &closed);
  delete &closed;
  return error;
}

Error wait_stream(StreamHandle stream) {
  std::lock_guard lock(runtime_lock());
  if (!stream.stream) return Error::kInvalidValue;
  if (queued(stream).capturing) {
    queued(stream).capture_failed = true;
    return kCaptureUnsupported;
  }
  return drain(queued(stream));
}

Error query_stream(StreamHandle stream, bool* done) {
  std::lock_guard lock(runtime_lock());
  if (!stream.stream) return Error::kInvalidValue;
  if (queued(stream).capturing) {
    queued(stream).capture_failed = true;
    return kCaptureUnsupported;
  }
  // Work that had not run is "still running" now and done at the next query.
  *done = queued(stream).queue.empty();
  return drain(queued(stream));
}

Error open_event(EventHandle* event) {
  std::lock_guard lock(runtime_lock());
  const Error error = device_state(current_device()).error;
  if (error != Error::kOk) return error;
  event->event = new RecordedEvent;
  return Error::kOk;
}

Error close_event(EventHandle event) {
  if (!event.event) return Error::kInvalidValue;
  std::lock_guard lock(runtime_lock());
  delete &recorded(event);
  return Error::kOk;
}

Error record(EventHandle event, StreamHandle stream) {
  std::lock_guard lock(runtime_lock());
  if (!event.event || !stream.stream) return Error::kInvalidValue;
  if (queued(stream).capturing) return kCaptureUnsupported;  // forks of a capture are not emulated
  auto mark = std::make_shared<Mark>();
  mark->stream = &queued(stream);
  const Error error = enqueue(stream, [mark](QueuedStream&) {
    mark->reached = true;
    mark->stream = nullptr;
    return Error::kOk;
  });
  if (error != Error::kOk) return error;
  recorded(event).mark = std::move(mark);
  return Error::kOk;
}

namespace {

Error reach(Mark& mark) {
  if (mark.reached) return Error::kOk;
  return drain(*mark.stream, &mark);
}

}  // namespace

Error wait_event(EventHandle event) {
  std::lock_guard lock(runtime_lock());
  if (!event.event) return Error::kInvalidValue;
  const auto mark = recorded(event).mark;
  return mark ? reach(*mark) : Error::kOk;
}

Error query_event(EventHandle event, bool* done) {
  std::lock_guard lock(runtime_lock());
  if (!event.event) return Error::kInvalidValue;
  const auto mark = recorded(event).mark;
  *done = !mark || mark->reached;
  return mark ? reach(*mark) : Error::kOk;
}

Error stream_waits(StreamHandle stream, EventHandle event) {
  std::lock_guard lock(runtime_lock());
  if (!stream.stream || !event.event) return Error::kInvalidValue;
  if (queued(stream).capturing) return kCaptureUnsupported;
  const auto mark = recorded(event).mark;
  if (!mark || mark->reached) return queued(stream).device->error;
  return enqueue(stream, [mark](QueuedStream& waits) {
    waits.last_kernel_epoch = 0;
    return reach(*mark);
  });
}

Error begin_capture(StreamHandle stream) {
  std::lock_guard lock(runtime_lock());
  if (!stream.stream || queued(stream).capturing) return Error::kInvalidValue;
  QueuedStream& capturing = queued(stream);
  if (capturing.device->error != Error::kOk) return capturing.device->error;
  capturing.recorded = std::make_shared<RecordedGraph>();
  capturing.capturing = true;
  capturing.capture_failed = false;
  return Error::kOk;
}

Error end_capture(StreamHandle stream, GraphHandle* graph) {
  std::lock_guard lock(runtime_lock());
  if (!stream.stream || !queued(stream).capturing) return Error::kInvalidValue;
  QueuedStream& capturing = queued(stream);
  capturing.capturing = false;
  auto made = std::move(capturing.recorded);
  if (capturing.capture_failed) return static_cast<Error>(901);
  graph->graph = new std::shared_ptr<RecordedGraph>(std::move(made));
  return Error::kOk;
}

Error launch_graph(GraphHandle graph, StreamHandle stream) {
  std::lock_guard lock(runtime_lock());
  if (!graph.graph || !stream.stream) return Error::kInvalidValue;
  const auto recorded = *static_cast<std::shared_ptr<RecordedGraph>*>(graph.graph);
  return enqueue(stream, [recorded](QueuedStream& runs_in) {
    for (const Work& work : recorded->work) {
      const Error error = work(runs_in);
      if (error != Error::kOk) return error;
    }
    return Error::kOk;
  });
}

Error close_graph(GraphHandle graph) {
  if (!graph.graph) return Error::kInvalidValue;
  std::lock_guard lock(runtime_lock());
  delete static_cast<std::shared_ptr<RecordedGraph>*>(graph.graph);
  return Error::kOk;
}

}  // namespace embedcore::cuda
