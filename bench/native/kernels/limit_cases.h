// What the machine can do, as cases among those that it bounds. Each adds a case to the list and returns its place
// there.
#pragma once

#include "cases.h"

namespace embedcore::bench {

// Arithmetic of a precision on registers alone; where the processor has no instruction for it, float32's. Work:
// operations.
int add_peak(std::vector<Case>& cases, const Context& context, DType dtype, bool all_threads);

// Reading what no cache holds, a piece in one place for each thread. Work: bytes.
int add_read(std::vector<Case>& cases, const Context& context, bool all_threads);

// Additions on one thread that wait for each other, a cycle each. Work: cycles.
int add_clock(std::vector<Case>& cases);

}  // namespace embedcore::bench
