// The memory of one group's way through a model: cut from one block that only grows, so that steady work allocates
// nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/dtype.h"

namespace embedcore {

class Workspace {
 public:
  // Forgets all earlier cuts and makes room. Throws std::bad_alloc.
  void reset(size_t floats);
  // Cuts the next `floats` off, 64-byte aligned. The sum of all cuts since reset may not pass its size: see size_of.
  float* cut(int64_t floats);
  void* cut(int64_t elements, DType dtype) { return cut(static_cast<int64_t>(size_of(elements, dtype))); }
  // Floats that a cut takes.
  static size_t size_of(int64_t floats) { return (static_cast<size_t>(floats) + 15) / 16 * 16; }
  static size_t size_of(int64_t elements, DType dtype) {
    return (static_cast<size_t>(elements) * dtype_size(dtype) + 63) / 64 * 16;
  }
  size_t bytes() const { return capacity_ * sizeof(float); }

 private:
  struct Free {
    void operator()(float* block) const;
  };
  std::unique_ptr<float[], Free> block_;
  size_t capacity_ = 0, used_ = 0;
};

}  // namespace embedcore
