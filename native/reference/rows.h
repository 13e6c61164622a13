// Elements of float32 or bfloat16 rows.
#pragma once

#include <cstdint>

#include "base/dtype.h"

namespace embedcore::reference {

inline float read(const void* rows, DType dtype, int64_t i) {
  return dtype == DType::kBF16 ? bf16_to_f32(static_cast<const uint16_t*>(rows)[i])
                               : static_cast<const float*>(rows)[i];
}

inline void write(void* rows, DType dtype, int64_t i, double value) {
  const float rounded = static_cast<float>(value);
  if (dtype == DType::kBF16)
    static_cast<uint16_t*>(rows)[i] = f32_to_bf16(rounded);
  else
    static_cast<float*>(rows)[i] = rounded;
}

}  // namespace embedcore::reference
