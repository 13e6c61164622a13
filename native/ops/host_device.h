// Memory and streams of the backends that work in host memory: the part of their tables that is not arithmetic.
#pragma once

#include "base/weight_memory.h"
#include "ops/backend.h"

namespace embedcore {

// An opened host: where the weights of whoever opened it are placed.
struct Device {
  WeightArena weights;
};

int32_t host_device_count();
Status host_describe_device(int32_t index, DeviceInfo* info);
Device* host_open_device(int32_t index, char* message, size_t message_bytes);
void host_close_device(Device* device);
void* host_allocate(Device* device, size_t bytes);
void host_release(Device* device, void* memory);
Status host_open_stream(Stream& stream);
void host_close_stream(Stream& stream);
Status host_copy(Stream& stream, void* to, const void* from, size_t bytes);
Status host_wait(Stream& stream);

// The slots of a table that are the same for every host backend.
#define EMBEDCORE_HOST_SLOTS                                                                                      \
  .device_count = host_device_count, .describe_device = host_describe_device, .open_device = host_open_device,    \
  .close_device = host_close_device, .allocate = host_allocate, .release = host_release,                          \
  .open_stream = host_open_stream, .close_stream = host_close_stream, .upload = host_copy, .download = host_copy, \
  .wait = host_wait

}  // namespace embedcore
