#include "ops/host_device.h"

#include <cstdio>
#include <cstring>
#include <new>

#if defined(__linux__) || defined(__APPLE__)
#include <unistd.h>
#endif

namespace embedcore {

namespace {
constexpr std::align_val_t kAlignment{64};
}

int32_t host_device_count() { return 1; }

Status host_describe_device(int32_t index, DeviceInfo* info) {
  if (index != 0) return kBadArgument;
  *info = DeviceInfo{};
  std::snprintf(info->name, sizeof info->name, "host");
#if defined(_SC_PHYS_PAGES)
  info->memory_bytes = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
#endif
#if defined(_SC_AVPHYS_PAGES)
  info->free_bytes = static_cast<int64_t>(sysconf(_SC_AVPHYS_PAGES)) * sysconf(_SC_PAGESIZE);
#endif
  return kOk;
}

Device* host_open_device(int32_t index, char* message, size_t message_bytes) {
  if (index != 0) {
    std::snprintf(message, message_bytes, "the CPU is one device, number 0");
    return nullptr;
  }
  auto* device = new (std::nothrow) Device;
  if (!device) std::snprintf(message, message_bytes, "no memory for a device");
  return device;
}

void host_close_device(Device* device) { delete device; }

void* host_allocate(Device*, size_t bytes) { return ::operator new(bytes, kAlignment, std::nothrow); }
void host_release(Device*, void* memory) { ::operator delete(memory, kAlignment); }

Status host_open_stream(Stream&) { return kOk; }
void host_close_stream(Stream&) {}

Status host_copy(Stream&, void* to, const void* from, size_t bytes) {
  if (bytes > 0 && to != from) std::memcpy(to, from, bytes);
  return kOk;
}

Status host_wait(Stream&) { return kOk; }

}  // namespace embedcore
