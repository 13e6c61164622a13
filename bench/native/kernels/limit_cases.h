// The limits of the machine, as cases among those that they apply to. Each function adds a case to the list and returns
// its index.
#pragma once

#include "cases.h"

namespace embedcore::bench {

// Arithmetic of a precision on registers only; float32 if the processor has no instruction for it. Work: operations.
int add_peak(std::vector<Case>& cases, const Context& context, DType dtype, bool all_threads);

// Reading memory that is in no cache, in one piece for each thread. Work: bytes.
int add_read(std::vector<Case>& cases, const Context& context, bool all_threads);

// A chain of dependent additions on one thread, which take a cycle each. Work: cycles.
int add_clock(std::vector<Case>& cases);

}  // namespace embedcore::bench
