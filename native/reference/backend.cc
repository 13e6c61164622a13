#include "reference/backend.h"

#include "ops/host_checks.h"
#include "ops/host_device.h"
#include "reference/ops.h"

namespace embedcore {

const Backend& reference_backend() {
  using namespace reference;
#define EMBEDCORE_OWN_SLOT(name, Args) .name = name,
  static constexpr Backend kTable = {.name = "reference",
                                     .batch_tokens = 256,
                                     EMBEDCORE_HOST_SLOTS,
                                     .supports = host_supports,
                                     .pack_linear = pack_linear,
                                     .free_linear = free_linear,
                                     EMBEDCORE_OPS(EMBEDCORE_OWN_SLOT)};
#undef EMBEDCORE_OWN_SLOT
  return kTable;
}

}  // namespace embedcore
