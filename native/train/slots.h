// Slots: the rows of a step are cut into a fixed number of runs, each slot has a sum of gradients of its own, and these
// sums are added in the order of the slots before an update. What a slot adds depends on its own texts and on the
// embeddings of all, so a process that computes one slot, and adds its sum to those of the others in this order, has
// the bits of one process with all slots.
#pragma once

#include <memory>
#include <vector>

#include "model/parameters.h"

namespace embedcore {

struct SlotRows {
  int64_t begin = 0, count = 0;
};

// Runs of rows that differ by one row at most: slot s begins with row s * rows / slots. Some are empty where there are
// fewer rows than slots.
std::vector<SlotRows> cut_rows(int64_t rows, int64_t slots);

// The sums of gradients of the slots. The gradients that passes add to are those of one slot at a time.
class SlotSums {
 public:
  // blocks: the gradients that passes add to. One slot takes no memory: its sum is these. Throws Error(kOutOfMemory).
  SlotSums(DevicePointer device, std::vector<const Parameters*> blocks, int64_t slots);

  int64_t slots() const { return slots_; }
  // Brings the sum of a slot into the blocks, and after the slot's backward pass back.
  void begin(Stream& stream, int64_t slot);
  void end(Stream& stream, int64_t slot);
  // blocks = sum of slot 0 + sum of slot 1 + ...
  void add_up(Stream& stream);
  void clear(Stream& stream);

 private:
  const DevicePointer device_;
  const std::vector<const Parameters*> blocks_;
  const int64_t slots_;
  std::vector<std::vector<std::unique_ptr<Parameters>>> sums_;  // of each slot, of each block
};

}  // namespace embedcore
