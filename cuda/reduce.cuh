// Sums over threads, each of one fixed order. All threads that take part receive the same bits.
#pragma once

#include "launch.h"

namespace embedcore::cuda {

GPU float warp_sum(float value) {
  UNROLL
  for (int mask = 16; mask > 0; mask /= 2) value += shuffle_xor(value, mask);
  return value;
}

// Over a block of kWarps warps. `offset` is that of kWarps floats in shared memory; no other access to them may be
// nearer than one barrier before and after. The call holds one barrier itself, so two sums may take turns with two
// places.
template <int kWarps>
GPU float block_sum(float value, uint32_t offset) {
  value = warp_sum(value);
  if constexpr (kWarps == 1) return value;
  auto* partial = shared_at<float>(offset);
  if (lane_index() == 0) partial[thread_index() / 32] = value;
  sync_block();
  float sum = partial[0];
  UNROLL
  for (int warp = 1; warp < kWarps; ++warp) sum += partial[warp];
  return sum;
}

}  // namespace embedcore::cuda
