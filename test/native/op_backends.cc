#include "op_backends.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>

#include "cpu/dispatch.h"
#include "ops/plugin_entry.h"
#include "reference/device_backend.h"

namespace embedcore::test {

namespace {

[[noreturn]] void stop(const std::string& sentence) {
  std::fprintf(stderr, "%s\n", sentence.c_str());
  std::exit(1);
}

std::vector<const Backend*> find_backends() {
  std::vector<const Backend*> backends;
  for (const CpuIsa& isa : cpu_isas())
    if (isa.table) backends.push_back(isa.table);
  backends.push_back(&reference_device_backend());
  if (const char* path = std::getenv("EMBEDCORE_TEST_BACKEND"); path && *path) {
    std::string reason;
    const Backend* plugin = open_backend_library(path, reason);
    if (!plugin) stop("EMBEDCORE_TEST_BACKEND=" + std::string(path) + " cannot be tested: " + reason);
    backends.push_back(plugin);
  }
  return backends;
}

struct Closer {
  const Backend* backend;
  void operator()(Device* device) const { backend->close_device(device); }
};

}  // namespace

const std::vector<const Backend*>& fast_backends() {
  static const std::vector<const Backend*> backends = find_backends();
  return backends;
}

std::vector<const Backend*> host_backends() {
  std::vector<const Backend*> backends;
  for (const Backend* backend : fast_backends())
    if (backend->host_memory) backends.push_back(backend);
  return backends;
}

const Backend* open_backend_library(const char* path, std::string& reason) {
  void* library = ::dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    reason = ::dlerror();
    return nullptr;
  }
  const auto entry = reinterpret_cast<PluginEntry>(::dlsym(library, kPluginEntryName));
  const Backend* table = entry ? entry(kBackendVersion) : nullptr;
  if (!entry)
    reason = "it has no function " + std::string(kPluginEntryName);
  else if (!table)
    reason = "it was not built for version " + std::to_string(kBackendVersion) + " of the table";
  if (!table) ::dlclose(library);
  return table;
}

Device* device_of(const Backend& backend) {
  static std::mutex mutex;
  static std::map<const Backend*, std::unique_ptr<Device, Closer>> devices;  // guarded by mutex
  std::lock_guard lock(mutex);
  const auto found = devices.find(&backend);
  if (found != devices.end()) return found->second.get();
  char message[256] = "";
  Device* device = backend.open_device(0, message, sizeof message);
  if (!device) stop(std::string("device 0 of ") + backend.name + " cannot be opened: " + message);
  return devices.emplace(&backend, std::unique_ptr<Device, Closer>(device, Closer{&backend})).first->second.get();
}

}  // namespace embedcore::test
