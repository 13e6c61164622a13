#include "reference/backend.h"

#include "ops/host_device.h"
#include "reference/ops.h"

namespace embedcore {

bool reference::supports(Device*, DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16 || dtype == DType::kI8;
}

const Backend& reference_backend() {
  using namespace reference;
#define EMBEDCORE_OWN_SLOT(name, Args) .name = name,
  static constexpr Backend kTable = {.name = "reference",
                                     .batch_tokens = 256,
                                     EMBEDCORE_HOST_SLOTS,
                                     .supports = supports,
                                     .pack_linear = pack_linear,
                                     .free_linear = free_linear,
                                     .repack_linear = repack_linear,
                                     EMBEDCORE_OPS(EMBEDCORE_OWN_SLOT) EMBEDCORE_TRAINING_OPS(EMBEDCORE_OWN_SLOT)};
#undef EMBEDCORE_OWN_SLOT
  return kTable;
}

}  // namespace embedcore
