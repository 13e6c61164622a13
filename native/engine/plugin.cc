#include "engine/plugin.h"

#include <dlfcn.h>
#include <sys/stat.h>

#include <cstdio>
#include <map>
#include <memory>
#include <mutex>

#include "model/device.h"
#include "ops/plugin_entry.h"

namespace embedcore {

namespace {

constexpr const char* kLibrary = "libembedcore_cuda.so";
constexpr const char* kBuild = "\"npm run build:cuda\" in the folder of embedcore builds it";

std::string path_beside_addon() {
  static const char here = 0;
  Dl_info addon;
  if (!dladdr(&here, &addon) || !addon.dli_fname) return kLibrary;
  const std::string file = addon.dli_fname;
  const size_t slash = file.rfind('/');
  return (slash == std::string::npos ? "./" : file.substr(0, slash + 1)) + kLibrary;
}

bool exists(const std::string& path) {
  struct stat status;
  return ::stat(path.c_str(), &status) == 0;
}

Plugin opened(const std::string& named) {
  Plugin plugin;
  plugin.path = named.empty() ? path_beside_addon() : named;
  const std::string& path = plugin.path;
  if (!exists(path)) {
    plugin.absent = named.empty();
    plugin.reason = named.empty() ? "the CUDA backend is not there: " + path + " does not exist; " + kBuild
                                  : "EMBEDCORE_CUDA_LIBRARY names " + path + ", which does not exist";
    return plugin;
  }
  // A name without a slash would be looked for in the folders of the system.
  const std::string file = path.find('/') == std::string::npos ? "./" + path : path;
  void* library = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char* reason = ::dlerror();
    plugin.reason = "the CUDA backend does not open: " + std::string(reason ? reason : path) + "; " + kBuild;
    return plugin;
  }
  const auto entry = reinterpret_cast<PluginEntry>(::dlsym(library, kPluginEntryName));
  if (!entry) {
    plugin.reason = path + " is not a backend of embedcore: it has no function " + kPluginEntryName;
  } else {
    plugin.backend = entry(kBackendVersion);
    if (plugin.backend && plugin.backend->version != kBackendVersion) plugin.backend = nullptr;
    if (!plugin.backend) plugin.reason = path + " belongs to another version of embedcore; " + kBuild + " again";
  }
  if (!plugin.backend) ::dlclose(library);
  return plugin;
}

}  // namespace

const Plugin& open_plugin(const std::string& path) {
  // Never destroyed: threads may still use a backend while the process ends.
  static auto* mutex = new std::mutex;
  static auto* plugins = new std::map<std::string, std::unique_ptr<const Plugin>>;
  std::lock_guard lock(*mutex);
  if (const auto found = plugins->find(path); found != plugins->end()) return *found->second;
  return *plugins->emplace(path, std::make_unique<const Plugin>(opened(path))).first->second;
}

DeviceInfo describe_device(const Backend& backend, int32_t index) {
  DeviceInfo info;
  const Status status = backend.describe_device(index, &info);
  // The texts come from another library.
  info.name[sizeof info.name - 1] = info.driver[sizeof info.driver - 1] = info.reason[sizeof info.reason - 1] = '\0';
  if (status != kOk && !info.reason[0])
    std::snprintf(info.reason, sizeof info.reason, "%s does not describe device %d (status %d)", backend.name, index,
                  static_cast<int>(status));
  return info;
}

std::string reason_for_none(const Backend& backend) {
  DeviceInfo info;
  backend.describe_device(0, &info);
  info.reason[sizeof info.reason - 1] = '\0';
  return info.reason[0] ? info.reason : "this machine has no NVIDIA device";
}

DType fast_dtype(const Backend& backend, int32_t index) {
  const auto device = OpenDevice::open(backend, index);
  for (const DType dtype : {DType::kBF16, DType::kF16})
    if (backend.supports(device->handle(), dtype)) return dtype;
  return DType::kF32;
}

}  // namespace embedcore
