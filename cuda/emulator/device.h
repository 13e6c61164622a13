// The cards that are emulated.
#pragma once

#include <cstddef>

namespace embedcore::cuda::emulator {

struct Card {
  int architecture;
  const char* name;
  size_t l2_bytes;
  int shared_bytes_per_block, shared_bytes_per_multiprocessor;
};
const Card& card_of(int architecture);

}  // namespace embedcore::cuda::emulator
