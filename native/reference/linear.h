// Packed weights of the reference, and what its linear layer and the gradients share.
#pragma once

#include "ops/linear.h"
#include "reference/dropout.h"
#include "reference/rows.h"

namespace embedcore::reference {

struct Packed : PackedLinear {
  float* weight;      // [out, in]; int8: whole numbers
  float* bias;        // [out]
  float* scale;       // [out]; int8 only
  float* reciprocal;  // [in]: 1 / smoothing
};

// The dtype that LoRA's matrices and sums are rounded to: int8 weights take parts in float32.
inline DType lora_dtype(const PackedLinear& weights) {
  return weights.dtype == DType::kI8 ? DType::kF32 : weights.dtype;
}

inline double lora_a(const LoraPart& part, const PackedLinear& weights, int64_t j, int64_t k) {
  return rounded(part.a[j * weights.in + k], lora_dtype(weights));
}

// scale B
inline double lora_b(const LoraPart& part, const PackedLinear& weights, int64_t o, int64_t j) {
  return rounded(part.scale * part.b[o * part.rank + j], lora_dtype(weights));
}

}  // namespace embedcore::reference
