// Which GPUs there are, and why one cannot be used.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include "device.h"

namespace embedcore::cuda {

namespace {

// "580.65.06" from the file where the driver introduces itself; empty where there is none.
void read_driver_version(char* version, size_t bytes) {
  version[0] = '\0';
  std::FILE* file = std::fopen("/proc/driver/nvidia/version", "r");
  if (!file) return;
  char line[256] = "", *rest = nullptr;
  if (std::fgets(line, sizeof line, file)) {
    // "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build": the first word that begins
    // with a digit.
    for (const char* word = strtok_r(line, " \t\n", &rest); word; word = strtok_r(nullptr, " \t\n", &rest)) {
      if (*word < '0' || *word > '9') continue;
      std::snprintf(version, bytes, "%s", word);
      break;
    }
  }
  std::fclose(file);
}

void describe_driver(int driver, char* text, size_t bytes) {
  char version[32];
  read_driver_version(version, sizeof version);
  std::snprintf(text, bytes, "%s%sCUDA %d.%d", version, version[0] ? ", " : "", driver / 1000, driver % 1000 / 10);
}

// Every error of a device that is asked for its memory.
void explain(Error error, int index, char* reason, size_t bytes) {
  if (error == Error::kOutOfMemory)
    std::snprintf(
        reason, bytes,
        "no memory is left on GPU %d: nvidia-smi shows the processes that hold it; end one or take another GPU", index);
  else
    std::snprintf(reason, bytes, "GPU %d does not answer: %s (%s); nvidia-smi shows its state", index,
                  error_sentence(error), error_name(error));
}

// Whether there is a driver for this library, else the reason.
bool has_driver(DeviceInfo* info) {
  int driver = 0, runtime = 0;
  versions(&driver, &runtime);
  const int needed = runtime / 1000;
  const char* install = needed >= 13 ? "driver 580 or newer" : "driver 525 or newer";
  if (driver == 0) {
    std::snprintf(info->reason, sizeof info->reason,
                  "there is no NVIDIA driver: install %s; a container must be started with its GPUs (--gpus all)",
                  install);
    return false;
  }
  describe_driver(driver, info->driver, sizeof info->driver);
  if (driver / 1000 >= needed) return true;
  std::snprintf(info->reason, sizeof info->reason,
                "the NVIDIA driver (%s) is too old for this library, which needs CUDA %d: install %s", info->driver,
                needed, install);
  return false;
}

// All but the memory that is free, for which a device must be initialised.
Status describe(int32_t index, DeviceInfo* info) {
  *info = DeviceInfo{};
  if (!has_driver(info)) return kDeviceFailed;
  int count = 0;
  const Error counted = device_count(&count);
  if (count == 0) {
    const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
    std::snprintf(info->reason, sizeof info->reason,
                  "the NVIDIA driver shows no GPU to this process: %s (%s); CUDA_VISIBLE_DEVICES is %s%.64s%s",
                  error_sentence(counted), error_name(counted), visible ? "\"" : "", visible ? visible : "not set",
                  visible ? "\"" : "");
    return kDeviceFailed;
  }
  if (index < 0 || index >= count) {
    std::snprintf(info->reason, sizeof info->reason, "there is no GPU %d: this process sees %d, numbered from 0", index,
                  count);
    return kBadArgument;
  }
  Properties properties{};
  const Error error = device_properties(index, &properties);
  if (error != Error::kOk) {
    explain(error, index, info->reason, sizeof info->reason);
    return kDeviceFailed;
  }
  std::snprintf(info->name, sizeof info->name, "%s", properties.name);
  info->compute_capability = properties.major * 10 + properties.minor;
  info->memory_bytes = static_cast<int64_t>(properties.memory_bytes);
  if (const Gpu* known = gpu(index); known && known->failed) {
    std::snprintf(info->reason, sizeof info->reason, "%s", known->sentence);
    return kOk;
  }
  if (code_for(info->compute_capability) == 0) {
    std::snprintf(info->reason, sizeof info->reason,
                  "this library has no code for compute capability %d.%d: build it with EMBEDCORE_CUDA_ARCHS=%d",
                  properties.major, properties.minor, info->compute_capability);
    return kOk;
  }
  return kOk;
}

}  // namespace

int32_t count_devices() {
  DeviceInfo info;
  int count = 0;
  if (has_driver(&info)) device_count(&count);
  return count;
}

Status describe_device(int32_t index, DeviceInfo* info) {
  const Status status = describe(index, info);
  if (status != kOk || info->reason[0]) return status;
  size_t free_bytes = 0, total_bytes = 0;
  const Error error = memory_info(index, &free_bytes, &total_bytes);
  if (error != Error::kOk) explain(error, index, info->reason, sizeof info->reason);
  info->free_bytes = static_cast<int64_t>(free_bytes);
  return kOk;
}

Device* open_device(int32_t index, char* message, size_t message_bytes) {
  DeviceInfo info;
  describe(index, &info);
  if (info.reason[0]) {
    std::snprintf(message, message_bytes, "%s", info.reason);
    return nullptr;
  }
  Gpu* known = gpu(index);
  Device* device = nullptr;
  try {
    if (known) device = new Device(*known);
  } catch (const std::bad_alloc&) {
  }
  if (!device) {
    std::snprintf(message, message_bytes, "no memory for a device");
    return nullptr;
  }
  device->architecture = code_for(info.compute_capability);
  Error error = device_properties(index, &device->properties);
  if (error == Error::kOk) error = set_device(index);
  if (error != Error::kOk) {
    explain(error, index, message, message_bytes);
    delete device;
    return nullptr;
  }
  return device;
}

void close_device(Device* device) { delete device; }

}  // namespace embedcore::cuda
