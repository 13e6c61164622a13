#include "binding/backends.h"

#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "cpu/dispatch.h"
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

const Backend& host_backend() {
  const Backend& backend = chosen_backend();
  return backend.host_memory ? backend : reference_backend();
}

}  // namespace embedcore
