// A backend library for tests: the reference behind a device boundary (reference/device_backend.h) as one or more
// devices of a GPU's kind, which fail as a script says. The environment variable EMBEDCORE_FAKE_DEVICES names the
// script, which is read anew whenever it matters, so that a test can change it while it runs. Its lines:
//
//   version other         the library belongs to another version of embedcore
//   devices 2             that many devices; default 1
//   none SENTENCE         with `devices 0`: why there is none
//   capability 75         compute capability; default 90
//   memory 1000000        bytes of each device; default 1 GiB
//   unusable 0 SENTENCE   why a device cannot be used
//   open SENTENCE         no device can be opened, for this reason
//   fail NAME             the operation of this name, or `wait`, `upload`, finds the device lost. It stays lost for
//                         whoever has it open
//   late 100              a pass of more than 100 tokens finds at its wait() that there is no memory
//   hold                  wait() does not return before this line is gone
//   log PATH              the file to which the tokens of each pass are written, a line each
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <mutex>
#include <set>
#include <sstream>
#include <string>
#include <thread>

#include "ops/embed.h"
#include "ops/linear.h"
#include "ops/plugin_entry.h"
#include "reference/device_backend.h"

namespace embedcore {

namespace {

// The rest of the first line that begins with `key`; false if there is none.
bool scripted(const std::string& key, std::string* rest = nullptr) {
  const char* path = std::getenv("EMBEDCORE_FAKE_DEVICES");
  if (!path) return false;
  std::ifstream script(path);
  for (std::string line; std::getline(script, line);) {
    if (line != key && line.compare(0, key.size() + 1, key + " ") != 0) continue;
    if (rest) *rest = line.size() > key.size() ? line.substr(key.size() + 1) : "";
    return true;
  }
  return false;
}

int64_t number(const std::string& key, int64_t otherwise) {
  std::string rest;
  return scripted(key, &rest) ? std::strtoll(rest.c_str(), nullptr, 10) : otherwise;
}

int64_t memory() { return number("memory", int64_t{1} << 30); }

struct Block {
  int32_t index = 0;
  int64_t bytes = 0;
};

struct State {
  std::mutex mutex;
  // Guarded by mutex.
  std::map<Device*, int32_t> open;  // its number
  std::set<Device*> lost;
  std::map<void*, Block> blocks;
  std::map<int32_t, int64_t> used;  // bytes of each device
  std::set<void*> exhausted;        // queues of streams
};

State& state() {
  static auto* instance = new State;  // never destroyed: the process may end while threads use it
  return *instance;
}

const Backend& base() { return reference_device_backend(); }

// Whether the device is lost, or is lost now by what `name` does.
bool is_lost(Device* device, const char* name) {
  State& now = state();
  std::lock_guard lock(now.mutex);
  if (scripted(std::string("fail ") + name)) now.lost.insert(device);
  return now.lost.contains(device);
}

Status lose(Stream& stream) {
  std::snprintf(stream.message, sizeof stream.message, "an illegal memory access was encountered");
  return kDeviceFailed;
}

int32_t device_count() { return static_cast<int32_t>(number("devices", 1)); }

Status describe_device(int32_t index, DeviceInfo* info) {
  *info = DeviceInfo{};
  std::string reason;
  if (index < 0 || index >= device_count()) {
    if (!scripted("none", &reason)) reason = "there is no such device";
    std::snprintf(info->reason, sizeof info->reason, "%s", reason.c_str());
    return kDeviceFailed;
  }
  std::snprintf(info->name, sizeof info->name, "Fake GPU %d", index);
  std::snprintf(info->driver, sizeof info->driver, "1.2.3, CUDA 13.0");
  info->compute_capability = static_cast<int32_t>(number("capability", 90));
  info->memory_bytes = memory();
  if (scripted("unusable " + std::to_string(index), &reason))
    std::snprintf(info->reason, sizeof info->reason, "%s", reason.c_str());
  State& now = state();
  std::lock_guard lock(now.mutex);
  info->free_bytes = std::max<int64_t>(info->memory_bytes - now.used[index], 0);
  return kOk;
}

Device* open_device(int32_t index, char* message, size_t message_bytes) {
  std::string reason;
  if (index < 0 || index >= device_count()) reason = "there is no such device";
  if (reason.empty()) scripted("open", &reason);
  if (!reason.empty()) {
    std::snprintf(message, message_bytes, "%s", reason.c_str());
    return nullptr;
  }
  Device* device = base().open_device(0, message, message_bytes);
  State& now = state();
  std::lock_guard lock(now.mutex);
  if (device) now.open[device] = index;
  return device;
}

void close_device(Device* device) {
  {
    State& now = state();
    std::lock_guard lock(now.mutex);
    now.open.erase(device);
    now.lost.erase(device);
  }
  base().close_device(device);
}

void* allocate(Device* device, size_t bytes) {
  State& now = state();
  std::lock_guard lock(now.mutex);
  const int32_t index = now.open[device];
  const auto size = static_cast<int64_t>(bytes);
  if (now.used[index] + size > memory()) return nullptr;
  void* block = base().allocate(device, bytes);
  if (!block) return nullptr;
  now.blocks[block] = {.index = index, .bytes = size};
  now.used[index] += size;
  return block;
}

void release(Device* device, void* block) {
  if (!block) return;
  {
    State& now = state();
    std::lock_guard lock(now.mutex);
    const Block known = now.blocks[block];
    now.used[known.index] -= known.bytes;
    now.blocks.erase(block);
  }
  base().release(device, block);
}

void close_stream(Stream& stream) {
  {
    State& now = state();
    std::lock_guard lock(now.mutex);
    now.exhausted.erase(stream.queue);
  }
  base().close_stream(stream);
}

Status upload(Stream& stream, void* to, const void* from, size_t bytes) {
  return is_lost(stream.device, "upload") ? lose(stream) : base().upload(stream, to, from, bytes);
}

Status download(Stream& stream, void* to, const void* from, size_t bytes) {
  return is_lost(stream.device, "download") ? lose(stream) : base().download(stream, to, from, bytes);
}

Status wait(Stream& stream) {
  while (scripted("hold")) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  if (is_lost(stream.device, "wait")) return lose(stream);
  const Status status = base().wait(stream);
  State& now = state();
  std::lock_guard lock(now.mutex);
  return now.exhausted.erase(stream.queue) > 0 ? kOutOfMemory : status;
}

Status embed(Stream& stream, const EmbedArgs& args) {
  if (is_lost(stream.device, "embed")) return lose(stream);
  std::string log;
  if (scripted("log", &log)) std::ofstream(log, std::ios::app) << args.tokens << '\n';
  if (args.tokens > number("late", INT64_MAX)) {
    State& now = state();
    std::lock_guard lock(now.mutex);
    now.exhausted.insert(stream.queue);
  }
  return base().embed(stream, args);
}

Status linear(Stream& stream, const LinearArgs& args) {
  return is_lost(stream.device, "linear") ? lose(stream) : base().linear(stream, args);
}

// From 8.0 on there is bfloat16.
bool supports(Device* device, DType dtype) {
  if (dtype == DType::kBF16) return number("capability", 90) >= 80;
  return base().supports(device, dtype);
}

}  // namespace

}  // namespace embedcore

extern "C" const embedcore::Backend* embedcore_backend(uint32_t version) {
  using namespace embedcore;
  if (version != kBackendVersion || scripted("version other")) return nullptr;
  static const Backend table = [] {
    Backend made = base();
    made.name = "fake";
    made.device_count = device_count;
    made.describe_device = describe_device;
    made.open_device = open_device;
    made.close_device = close_device;
    made.supports = supports;
    made.allocate = allocate;
    made.release = release;
    made.close_stream = close_stream;
    made.upload = upload;
    made.download = download;
    made.wait = wait;
    made.embed = embed;
    made.linear = linear;
    return made;
  }();
  return &table;
}
