// The reference behind the boundary of a device as a shared library, to test how such libraries are opened.
#include "ops/plugin_entry.h"
#include "reference/device_backend.h"

const embedcore::Backend* embedcore_backend(uint32_t version) {
  if (version != embedcore::kBackendVersion) return nullptr;
  static const embedcore::Backend table = [] {
    embedcore::Backend copy = embedcore::reference_device_backend();
    copy.name = "reference-plugin";
    return copy;
  }();
  return &table;
}
