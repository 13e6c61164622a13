// Elements of float32, float16 or bfloat16 rows.
#pragma once

#include <cstdint>

#include "base/dtype.h"

namespace embedcore::reference {

inline float read(const void* rows, DType dtype, int64_t i) {
  switch (dtype) {
    case DType::kF16: return f16_to_f32(static_cast<const uint16_t*>(rows)[i]);
    case DType::kBF16: return bf16_to_f32(static_cast<const uint16_t*>(rows)[i]);
    default: return static_cast<const float*>(rows)[i];
  }
}

inline void write(void* rows, DType dtype, int64_t i, double value) {
  const auto single = static_cast<float>(value);
  switch (dtype) {
    case DType::kF16: static_cast<uint16_t*>(rows)[i] = f32_to_f16(single); break;
    case DType::kBF16: static_cast<uint16_t*>(rows)[i] = f32_to_bf16(single); break;
    default: static_cast<float*>(rows)[i] = single;
  }
}

// To the nearest value of a float dtype, to even; other dtypes leave it as it is.
inline float rounded(float value, DType dtype) {
  switch (dtype) {
    case DType::kF16: return f16_to_f32(f32_to_f16(value));
    case DType::kBF16: return bf16_to_f32(f32_to_bf16(value));
    default: return value;
  }
}

}  // namespace embedcore::reference
