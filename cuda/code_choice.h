// Which of a library's code a card runs.
#pragma once

#include <span>

namespace embedcore::cuda {

// The architecture (major * 10 + minor) of the code that a card of `architecture` runs, 0 if there is none. Machine
// code runs on its own and on later architectures of the same major number; that of 90 is made for 90a, which is the
// only one of its number. PTX, made for `ptx` (0 = none), is compiled by the driver for all later ones; it holds what
// the kernels are there.
constexpr int choose_code(std::span<const int> machine_code, int ptx, int architecture) {
  int best = 0;
  for (const int code : machine_code)
    if (code / 10 == architecture / 10 && code <= architecture && code > best) best = code;
  if (best > 0) return best;
  return ptx > 0 && architecture >= ptx ? ptx : 0;
}

}  // namespace embedcore::cuda
