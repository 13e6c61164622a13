// Matrices of activations in float32 or bfloat16, filled with seeded numbers.
#pragma once

#include <cmath>
#include <cstring>
#include <new>
#include <random>
#include <vector>

#include "base/dtype.h"

namespace embedcore::bench {

inline const char* precision_name(DType dtype) {
  return dtype == DType::kF32 ? "float32" : dtype == DType::kBF16 ? "bfloat16" : "int8";
}

inline std::vector<float> normal_numbers(int64_t count, float deviation) {
  std::mt19937 engine(1);
  std::normal_distribution<float> normal(0, deviation);
  std::vector<float> numbers(static_cast<size_t>(count));
  for (auto& number : numbers) number = normal(engine);
  return numbers;
}

class Rows {
 public:
  Rows(int64_t rows, int64_t width, DType dtype)
      : dtype_(dtype), bytes_(static_cast<size_t>(rows * width) * (dtype == DType::kF32 ? 4 : 2)) {
    data_ = ::operator new (bytes_ + 64, std::align_val_t{64});
    const auto numbers = normal_numbers(rows * width, 1);
    for (size_t i = 0; i < numbers.size(); ++i) {
      if (dtype == DType::kF32) {
        static_cast<float*>(data_)[i] = numbers[i];
      } else {
        uint32_t bits;  // cut instead of rounded, because any numbers will do
        std::memcpy(&bits, &numbers[i], 4);
        static_cast<uint16_t*>(data_)[i] = static_cast<uint16_t>(bits >> 16);
      }
    }
  }
  ~Rows() { ::operator delete (data_, std::align_val_t{64}); }
  Rows(const Rows&) = delete;

  void* data() const { return data_; }
  const float* floats() const { return static_cast<const float*>(data_); }
  DType dtype() const { return dtype_; }

 private:
  DType dtype_;
  size_t bytes_;
  void* data_;
};

}  // namespace embedcore::bench
