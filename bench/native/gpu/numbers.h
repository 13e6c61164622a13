// Random numbers in 16 bits, and device memory full of them. Cards run slower on random numbers than on zeros, so what
// is measured must not be zeros.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "model/device.h"

namespace embedcore::gpu_bench {

// Normal numbers of this deviation; the same block of a few million again and again.
std::vector<uint16_t> random_halves(int64_t count, DType dtype, float deviation);
void fill_random(uint16_t* to, int64_t count, DType dtype, float deviation);

// Throws Error(kOutOfMemory).
std::shared_ptr<void> random_rows(OpenStream& stream, int64_t count, DType dtype, float deviation);

// Of dtype int8, activations are bfloat16, or float16 where there is none.
DType rows_dtype(const OpenDevice& device, DType arithmetic);

}  // namespace embedcore::gpu_bench
