#include "ops/plugin_entry.h"

#include "backend.h"

const embedcore::Backend* embedcore_backend(uint32_t version) {
  return version == embedcore::kBackendVersion ? &embedcore::cuda::backend() : nullptr;
}
