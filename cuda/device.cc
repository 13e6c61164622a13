#include "device.h"

#include <cstdio>
#include <cstring>
#include <new>

#include "stream.h"

namespace embedcore {

namespace cuda {

namespace {

#ifdef EMBEDCORE_EMULATED
constexpr size_t kFirstBlockBytes = 0;  // the emulator knows the bounds of each allocation
#else
constexpr size_t kFirstBlockBytes = size_t{16} << 20;
#endif
constexpr size_t kMostIdle = 4;

StreamState& state_of(Stream& stream) { return *static_cast<StreamState*>(stream.queue); }

// kDeviceFailed with the reason where the device has failed before.
Status usable(Stream& stream) {
  const Gpu& gpu = stream.device->gpu;
  if (!gpu.failed.load(std::memory_order_acquire)) return kOk;
  std::snprintf(stream.message, sizeof stream.message, "%s", gpu.sentence);
  return kDeviceFailed;
}

Status no_memory(Stream& stream, const char* what) {
  std::snprintf(stream.message, sizeof stream.message, "%s: no memory", what);
  return kOutOfMemory;
}

}  // namespace

void Gpu::fail(Error error, const char* what) noexcept {
  std::lock_guard lock(mutex_);
  if (failed) return;
  std::snprintf(sentence, sizeof sentence,
                "GPU %d cannot be used until this process is restarted: %s ended with %s, %s", index, what,
                error_name(error), error_sentence(error));
  failed.store(true, std::memory_order_release);
}

Gpu* gpu(int index) noexcept {
  // Never destroyed: devices may still be closed while the process ends.
  static std::mutex mutex;
  static auto* gpus = new (std::nothrow) std::vector<std::unique_ptr<Gpu>>;
  if (!gpus) return nullptr;
  std::lock_guard lock(mutex);
  try {
    while (gpus->size() <= static_cast<size_t>(index)) {
      gpus->push_back(std::make_unique<Gpu>());
      gpus->back()->index = static_cast<int>(gpus->size()) - 1;
    }
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
  return (*gpus)[static_cast<size_t>(index)].get();
}

// --- for operations ---

StreamHandle stream_of(Stream& stream) {
  set_device(stream.device->index);  // a failure shows in the launch
  return state_of(stream).handle;
}

void* scratch(Stream& stream, size_t bytes) {
  set_device(stream.device->index);
  Error error = Error::kOutOfMemory;
  void* memory = nullptr;
  try {
    memory = state_of(stream).scratch(bytes, &error);
  } catch (const std::bad_alloc&) {
  }
  if (!memory) report(stream, error, "scratch memory");
  return memory;
}

Status report(Stream& stream, Error error, const char* what) {
  if (error == Error::kOk) return kOk;
  if (error == Error::kOutOfMemory) {
    std::snprintf(stream.message, sizeof stream.message, "%s: GPU %d is out of memory", what, stream.device->index);
    return kOutOfMemory;
  }
  if (is_sticky(error)) stream.device->gpu.fail(error, what);
  if (usable(stream) != kOk) return kDeviceFailed;
  std::snprintf(stream.message, sizeof stream.message, "%s: %s (%s)", what, error_sentence(error), error_name(error));
  return kDeviceFailed;
}

Status refuse(Stream& stream, const char* sentence) {
  std::snprintf(stream.message, sizeof stream.message, "%s", sentence);
  return kBadArgument;
}

void* allocate(Device* device, size_t bytes) {
  if (device->gpu.failed) return nullptr;
  Error error = set_device(device->index);
  void* memory = error == Error::kOk ? device->memory.allocate(bytes, &error) : nullptr;
  if (is_sticky(error)) device->gpu.fail(error, "an allocation");
  return memory;
}

void release(Device* device, void* memory) {
  if (!memory) return;
  set_device(device->index);
  const Error error = device->memory.release(memory);
  if (is_sticky(error)) device->gpu.fail(error, "a release of memory");
}

// --- streams ---

Status open_stream(Stream& stream) {
  if (const Status status = usable(stream); status != kOk) return status;
  Device& device = *stream.device;
  Error error = set_device(device.index);
  if (error != Error::kOk) return report(stream, error, "a stream");
  {
    std::lock_guard lock(device.mutex);
    if (!device.idle.empty()) {
      stream.queue = device.idle.back().release();
      device.idle.pop_back();
      return kOk;
    }
  }
  std::unique_ptr<StreamState> state(new (std::nothrow) StreamState(device));
  if (!state) return no_memory(stream, "a stream");
  error = state->open();
  if (error != Error::kOk) return report(stream, error, "a stream");
  stream.queue = state.release();
  return kOk;
}

void close_stream(Stream& stream) {
  std::unique_ptr<StreamState> state(static_cast<StreamState*>(stream.queue));
  stream.queue = nullptr;
  if (!state) return;
  Device& device = *stream.device;
  set_device(device.index);
  const Error error = state->wait();
  report(stream, error, "the work of a stream that is closed");
  if (error != Error::kOk) return;
  state->replays.clear();
  std::lock_guard lock(device.mutex);
  if (device.idle.size() < kMostIdle) device.idle.push_back(std::move(state));  // has room for them
}

Status upload(Stream& stream, void* to, const void* from, size_t bytes) {
  if (const Status status = usable(stream); status != kOk) return status;
  try {
    return report(stream, state_of(stream).staging.upload(to, from, bytes, stream_of(stream)), "an upload");
  } catch (const std::bad_alloc&) {
    return no_memory(stream, "an upload");
  }
}

Status download(Stream& stream, void* to, const void* from, size_t bytes) {
  if (const Status status = usable(stream); status != kOk) return status;
  try {
    return report(stream, state_of(stream).staging.download(to, from, bytes, stream_of(stream)), "a download");
  } catch (const std::bad_alloc&) {
    return no_memory(stream, "a download");
  }
}

Status wait(Stream& stream) {
  set_device(stream.device->index);
  const Status status = report(stream, state_of(stream).wait(), "the work of a stream");
  return status != kOk ? status : usable(stream);
}

Status begin_replay(Stream& stream, const void* key, size_t key_bytes, bool* replayed, ReplayNote* note) {
  *replayed = false;
  if (const Status status = usable(stream); status != kOk) return status;
  StreamState& state = state_of(stream);
  try {
    return report(stream, state.replays.begin(stream_of(stream), key, key_bytes, state.memory(), replayed, note),
                  "a replay");
  } catch (const std::bad_alloc&) {
    return no_memory(stream, "a replay");
  }
}

Status end_replay(Stream& stream, const ReplayNote* note) {
  StreamState& state = state_of(stream);
  return report(stream, state.replays.end(stream_of(stream), note, state.memory()), "a recording");
}

}  // namespace cuda

// --- the device ---

Device::Device(cuda::Gpu& gpu_of_device)
    : gpu(gpu_of_device), index(gpu_of_device.index), memory(cuda::kFirstBlockBytes) {
  idle.reserve(cuda::kMostIdle);
}

Device::~Device() { cuda::set_device(index); }

}  // namespace embedcore
