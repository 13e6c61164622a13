#include "reference/backend.h"

#include "reference/ops.h"

namespace embedcore {

const Backend& reference_backend() {
  using namespace reference;
  static constexpr Backend kTable = {
      kBackendVersion, "reference", pack_linear, free_linear, linear, attention, norm, embed, gate, pool, bag,
      combine,         normalize,   similarity,  quantize,
  };
  return kTable;
}

}  // namespace embedcore
