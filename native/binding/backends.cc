#include "binding/backends.h"

#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "cpu/dispatch.h"
#include "engine/plugin.h"
#include "reference/backend.h"
#include "reference/device_backend.h"

namespace embedcore {

const Backend& chosen_backend() {
  const char* forced = std::getenv("EMBEDCORE_CPU_ISA");
  if (forced && std::strcmp(forced, "reference") == 0) return reference_backend();
  if (forced && std::strcmp(forced, "reference-device") == 0) return reference_device_backend();
  return default_cpu_backend();
}

const Backend& named_backend(const std::string& name) {
  for (const Backend* backend : {&reference_backend(), &reference_device_backend()})
    if (name == backend->name) return *backend;
  for (const CpuIsa& isa : cpu_isas())
    if (isa.table && name == isa.table->name) return *isa.table;
  fail(Code::kInvalidOption, "there is no backend \"%s\"", name.c_str());
}

namespace {

constexpr const char kCuda[] = "cuda:";
constexpr size_t kCudaLength = sizeof kCuda - 1;

}  // namespace

DeviceRef named_device(const std::string& id, const std::string& isa, const std::string& library) {
  if (id == "cpu") return named_backend(isa);
  if (id.compare(0, kCudaLength, kCuda) != 0) fail(Code::kInternal, "there is no device %s", quote(id).c_str());
  const Plugin& plugin = open_plugin(library);
  if (!plugin.backend) throw Error(Code::kDevice, plugin.reason);
  return {*plugin.backend, static_cast<int32_t>(std::strtol(id.c_str() + kCudaLength, nullptr, 10))};
}

std::string device_id(const OpenDevice& device) {
  const Backend& backend = device.backend();
  if (backend.host_memory || &backend == &reference_device_backend()) return "cpu";
  return kCuda + std::to_string(device.index());
}

const Backend& host_backend() {
  const Backend& backend = chosen_backend();
  return backend.host_memory ? backend : reference_backend();
}

const WordKernels& chosen_word_kernels() {
  const Backend& backend = chosen_backend();
  for (const CpuIsa& isa : cpu_isas())
    if (isa.table == &backend) return *isa.words;
  return kReferenceWordKernels;
}

const DoubleKernels& chosen_double_kernels() {
  const Backend& backend = chosen_backend();
  for (const CpuIsa& isa : cpu_isas())
    if (isa.table == &backend) return *isa.doubles;
  return kReferenceDoubleKernels;
}

}  // namespace embedcore
