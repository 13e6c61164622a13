// The LoRA parts of a linear (ops/linear.h): narrow products x A^T before the layer's own, and a kernel that finishes
// its sums with them in place of the tail.
#pragma once

#include "linear_rows.h"

namespace embedcore::cuda {

// Memory of a linear with parts, in the stream's scratch.
struct LoraScratch {
  float* sums = nullptr;    // [rows, sums_stride]: x W^T + b
  float* middle = nullptr;  // [rows, ranks]: of all parts side by side, rounded
  int64_t sums_stride = 0, ranks = 0;

  // Cuts it from `memory`, or with null counts the bytes alone. Pieces begin at multiples of 256 bytes.
  size_t place(const LinearArgs& args, std::byte* memory);
};

// Fills scratch.middle.
Status launch_lora_middle(Stream& stream, const LinearArgs& args, const LoraScratch& scratch);
// y = activation(scratch.sums + the parts) + residual.
Status launch_lora_finish(Stream& stream, const LinearArgs& args, const LoraScratch& scratch);

}  // namespace embedcore::cuda
