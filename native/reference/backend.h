// The table of operations as plain loops, which define the correct results: every other backend is tested against it.
// Sums are computed in float64 and rounded once, so a result is the float32 value of the formula in ops/<op>.h to
// within about one unit in the last place. It is not optimised and runs on the calling thread only.
#pragma once

#include "ops/backend.h"

namespace embedcore {

const Backend& reference_backend();

}  // namespace embedcore
