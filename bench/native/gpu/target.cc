#include "target.h"

#include <thread>

#include "base/error.h"
#include "cpu/dispatch.h"
#include "engine/plugin.h"
#include "record.h"
#include "reference/backend.h"

namespace embedcore::gpu_bench {

const Backend& find_backend(const Options& options) {
  if (options.backend == "cpu") return default_cpu_backend();
  if (options.backend == "reference") return reference_backend();
  if (options.backend.find('/') == std::string::npos)
    fail(Code::kInvalidOption, "--backend is cpu, reference or a path with a slash, but is \"%s\"",
         options.backend.c_str());
  const Plugin& plugin = open_plugin(options.backend);
  if (!plugin.backend) throw Error(Code::kDevice, plugin.reason);
  return *plugin.backend;
}

int device_mode(const Options& options) {
  const Backend& backend = find_backend(options);
  const int32_t count = backend.device_count();
  if (count == 0) {
    Record().text("backend", backend.name).number("devices", 0).text("reason", reason_for_none(backend)).print();
    return 1;
  }
  int unusable = 0;
  for (int32_t i = 0; i < count; ++i) {
    const DeviceInfo info = describe_device(backend, i);
    Record()
        .text("backend", backend.name)
        .number("devices", count)
        .number("device", i)
        .text("name", info.name)
        .number("computeCapability", info.compute_capability)
        .number("memoryBytes", info.memory_bytes)
        .number("freeBytes", info.free_bytes)
        .text("driver", info.driver)
        .text("reason", info.reason)
        .number("batchTokens", backend.batch_tokens)
        .text("cpu", default_cpu_backend().name)
        .number("processors", std::thread::hardware_concurrency())
        .print();
    if (info.reason[0]) ++unusable;
  }
  return unusable;
}

}  // namespace embedcore::gpu_bench
