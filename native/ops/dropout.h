// Dropout from a counter-based generator (Philox 4x32-10, Salmon et al. 2011): keyed by (seed, site), counted by (row,
// column / 4), so that every backend, thread count and batch gives the same mask, and a recomputed layer gives it
// again.
//   y = x / (1 - rate) where the element is kept, else 0
#pragma once

#include <cstdint>

namespace embedcore {

struct Dropout {
  float rate = 0;  // 0 = none
  uint64_t seed = 0;
  uint32_t site = 0;      // which dropout of the model
  int64_t first_row = 0;  // number of the call's first row in the whole batch
};

}  // namespace embedcore
