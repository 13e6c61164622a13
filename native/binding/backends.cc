#include "binding/backends.h"

#include <cstdlib>
#include <cstring>

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

const Backend& host_backend() {
  const Backend& backend = chosen_backend();
  return backend.host_memory ? backend : reference_backend();
}

}  // namespace embedcore
