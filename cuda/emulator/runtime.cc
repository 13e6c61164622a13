// runtime.h without a GPU: devices, memory and copies. Streams are in stream.cc, launches in launch.cc.
#include "runtime.h"

#include <cstdio>
#include <cstring>

#include "emulator/control.h"
#include "emulator/device.h"
#include "emulator/memory.h"
#include "emulator/report.h"
#include "emulator/settings.h"
#include "emulator/shadow.h"
#include "emulator/stream.h"

namespace embedcore::cuda::emulator {

std::vector<std::string> unreleased_memory() {
  std::lock_guard lock(runtime_lock());
  std::vector<std::string> sentences;
  for (int i = 0; i < kMaxDevices; ++i)
    memory_of_device(i).for_each([&](const void* memory, size_t bytes) {
      sentences.push_back(format("device %d: %zu bytes at %p were never released", i, bytes, memory));
    });
  return sentences;
}

namespace {

struct AtExit {
  ~AtExit() {
    if (!kChecked) return;
    for (const std::string& sentence : unreleased_memory()) std::fprintf(stderr, "emulator: %s\n", sentence.c_str());
  }
} at_exit;

}  // namespace

}  // namespace embedcore::cuda::emulator

namespace embedcore::cuda {

using namespace emulator;

namespace {

struct NamedError {
  Error error;
  const char *name, *sentence;
};
constexpr NamedError kErrors[] = {
    {Error::kOk, "cudaSuccess", "no error"},
    {Error::kInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {Error::kOutOfMemory, "cudaErrorMemoryAllocation", "out of memory"},
    {Error::kUnloading, "cudaErrorCudartUnloading", "driver shutting down"},
    {static_cast<Error>(9), "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    {Error::kDriverTooOld, "cudaErrorInsufficientDriver",
     "CUDA driver version is insufficient for CUDA runtime version"},
    {Error::kNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {Error::kInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {Error::kNoKernelImage, "cudaErrorNoKernelImageForDevice",
     "no kernel image is available for execution on the device"},
    {Error::kIllegalAddress, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
    {Error::kLaunchFailed, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {static_cast<Error>(900), "cudaErrorStreamCaptureUnsupported", "operation not permitted when stream is capturing"},
    {static_cast<Error>(901), "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
};

constexpr int kRuntime = 13000;

DeviceState& device_of(StreamHandle stream) { return *static_cast<QueuedStream*>(stream.stream)->device; }

}  // namespace

const char* error_name(Error error) {
  for (const NamedError& known : kErrors)
    if (known.error == error) return known.name;
  return "cudaErrorUnknown";
}
const char* error_sentence(Error error) {
  for (const NamedError& known : kErrors)
    if (known.error == error) return known.sentence;
  return "unknown error";
}
bool is_sticky(Error error) { return error == Error::kIllegalAddress || error == Error::kLaunchFailed; }

Error device_count(int* count) {
  *count = 0;
  if (settings().driver < kRuntime) return Error::kDriverTooOld;
  if (settings().devices == 0) return Error::kNoDevice;
  *count = settings().devices < kMaxDevices ? settings().devices : kMaxDevices;
  return Error::kOk;
}

Error versions(int* driver, int* runtime) {
  *driver = settings().driver;
  *runtime = kRuntime;
  return Error::kOk;
}

Error device_properties(int device, Properties* properties) {
  int count = 0;
  const Error error = device_count(&count);
  if (error != Error::kOk) return error;
  if (device < 0 || device >= count) return Error::kInvalidDevice;
  const Card& card = card_of(settings().architecture);
  *properties = {};
  std::snprintf(properties->name, sizeof properties->name, "%s (emulated)", card.name);
  properties->major = card.architecture / 10;
  properties->minor = card.architecture % 10;
  properties->multiprocessors = settings().multiprocessors;
  properties->memory_bytes = settings().memory;
  properties->l2_bytes = card.l2_bytes;
  properties->shared_bytes_per_block = card.shared_bytes_per_block;
  properties->shared_bytes_per_multiprocessor = card.shared_bytes_per_multiprocessor;
  return Error::kOk;
}

Error memory_info(int device, size_t* free_bytes, size_t* total_bytes) {
  std::lock_guard lock(runtime_lock());
  *free_bytes = *total_bytes = 0;
  int count = 0;
  const Error error = device_count(&count);
  if (error != Error::kOk) return error;
  if (device < 0 || device >= count) return Error::kInvalidDevice;
  *total_bytes = settings().memory;
  const size_t used = memory_of_device(device).used();
  *free_bytes = used < *total_bytes ? *total_bytes - used : 0;
  return device_state(device).error;
}

int code_for(int) { return code_architecture(); }  // all cards are of one architecture

Error allocate(void** memory, size_t bytes) {
  catch_faults();
  std::lock_guard lock(runtime_lock());
  *memory = nullptr;
  int count = 0;
  const Error there = device_count(&count);
  if (there != Error::kOk) return there;
  DeviceState& device = device_state(current_device());
  if (device.error != Error::kOk) return device.error;
  const Fault& fault = settings().fault;
  if (fault.what != Fault::What::kNothing && fault.in_allocations && device.allocations >= fault.after)
    return Error::kOutOfMemory;
  ++device.allocations;
  *memory = memory_of_device(device.index).allocate(bytes, settings().memory);
  if (!*memory) return Error::kOutOfMemory;
  if constexpr (kChecked) add_shadow(device.index, *memory, bytes ? bytes : 1);
  return Error::kOk;
}

Error release(void* memory) {
  if (!memory) return Error::kOk;
  std::lock_guard lock(runtime_lock());
  // As the device does, everything that was begun is finished first.
  for (int i = 0; i < kMaxDevices; ++i) {
    DeviceMemory& owner = memory_of_device(i);
    if (!owner.base() || !owner.in_range(memory)) continue;
    const Error error = drain_device(device_state(i));
    const size_t bytes = owner.bytes_of(memory);
    if (bytes == 0) return Error::kInvalidValue;
    if constexpr (kChecked) remove_shadow(i, memory, bytes);
    owner.release(memory);
    return error;
  }
  return Error::kInvalidValue;
}

Error allocate_pinned(void** memory, size_t bytes) {
  std::lock_guard lock(runtime_lock());
  *memory = nullptr;
  const Error error = device_state(current_device()).error;
  if (error != Error::kOk) return error;
  *memory = allocate_pinned_memory(bytes);
  return *memory ? Error::kOk : Error::kOutOfMemory;
}

Error release_pinned(void* memory) {
  if (!memory) return Error::kOk;
  std::lock_guard lock(runtime_lock());
  Error error = Error::kOk;
  for (int i = 0; i < kMaxDevices; ++i)
    if (const Error one = drain_device(device_state(i)); one != Error::kOk) error = one;
  return release_pinned_memory(memory) ? error : Error::kInvalidValue;
}

namespace {

// Refused at the call, as the driver does with addresses that it does not know.
Error check_device_range(StreamHandle stream, const void* memory, size_t bytes, const char* what) {
  if (memory_of_device(device_of(stream).index).holds(memory, bytes)) return Error::kOk;
  add_report(format("%s: %zu bytes at %p are not within one allocation of the device: %s", what, bytes, memory,
                    describe_address(memory).c_str()));
  return Error::kInvalidValue;
}
Error check_pinned(const void* memory, size_t bytes, const char* what) {
  if (is_pinned(memory, bytes)) return Error::kOk;
  add_report(format("%s: %zu bytes at %p are not pinned host memory", what, bytes, memory));
  return Error::kInvalidValue;
}

}  // namespace

Error copy_to_device(void* to, const void* from, size_t bytes, StreamHandle stream) {
  if (bytes == 0) return Error::kOk;
  std::lock_guard lock(runtime_lock());
  if (!stream.stream) return Error::kInvalidValue;
  if (const Error error = check_device_range(stream, to, bytes, "copy_to_device"); error != Error::kOk) return error;
  if (const Error error = check_pinned(from, bytes, "copy_to_device"); error != Error::kOk) return error;
  return enqueue(stream, [=](QueuedStream& runs_in) {
    runs_in.last_kernel_epoch = 0;
    std::memcpy(to, from, bytes);
    if constexpr (kChecked) host_wrote(runs_in.device->index, to, bytes);
    return Error::kOk;
  });
}

Error copy_to_host(void* to, const void* from, size_t bytes, StreamHandle stream) {
  if (bytes == 0) return Error::kOk;
  std::lock_guard lock(runtime_lock());
  if (!stream.stream) return Error::kInvalidValue;
  if (const Error error = check_device_range(stream, from, bytes, "copy_to_host"); error != Error::kOk) return error;
  if (const Error error = check_pinned(to, bytes, "copy_to_host"); error != Error::kOk) return error;
  return enqueue(stream, [=](QueuedStream& runs_in) {
    runs_in.last_kernel_epoch = 0;
    std::memcpy(to, from, bytes);
    return Error::kOk;
  });
}

Error copy_on_device(void* to, const void* from, size_t bytes, StreamHandle stream) {
  if (bytes == 0) return Error::kOk;
  std::lock_guard lock(runtime_lock());
  if (!stream.stream) return Error::kInvalidValue;
  if (const Error error = check_device_range(stream, to, bytes, "copy_on_device"); error != Error::kOk) return error;
  if (const Error error = check_device_range(stream, from, bytes, "copy_on_device"); error != Error::kOk) return error;
  return enqueue(stream, [=](QueuedStream& runs_in) {
    runs_in.last_kernel_epoch = 0;
    std::memmove(to, from, bytes);
    if constexpr (kChecked) host_wrote(runs_in.device->index, to, bytes, from);
    return Error::kOk;
  });
}

Error fill(void* memory, int byte, size_t bytes, StreamHandle stream) {
  if (bytes == 0) return Error::kOk;
  std::lock_guard lock(runtime_lock());
  if (!stream.stream) return Error::kInvalidValue;
  if (const Error error = check_device_range(stream, memory, bytes, "fill"); error != Error::kOk) return error;
  return enqueue(stream, [=](QueuedStream& runs_in) {
    runs_in.last_kernel_epoch = 0;
    std::memset(memory, byte, bytes);
    if constexpr (kChecked) host_wrote(runs_in.device->index, memory, bytes);
    return Error::kOk;
  });
}

}  // namespace embedcore::cuda
