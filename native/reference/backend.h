// The table of operations in plain loops: the definition of right that every other backend is tested against. Sums are
// made in float64 and rounded once, so a result is the float32 of the formula in ops/<op>.h to within about one last
// place. Never made fast; runs on the calling thread alone.
#pragma once

#include "ops/backend.h"

namespace embedcore {

const Backend& reference_backend();

}  // namespace embedcore
