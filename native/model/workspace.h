// The memory of one batch during a pass: one block of device memory, which is kept for later batches, so that steady
// work does not allocate.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"
#include "ops/backend.h"

namespace embedcore {

// Rows in device memory.
struct View {
  void* data = nullptr;
  int64_t stride = 0;  // elements
  DType dtype = DType::kF32;

  float* floats() const { return static_cast<float*>(data); }
  View from_row(int64_t row) const {
    return {static_cast<std::byte*>(data) + static_cast<size_t>(row * stride) * dtype_size(dtype), stride, dtype};
  }
};

// Cuts a block into pieces. The code that places pieces runs twice: first without a block, to measure the bytes they
// take, then with it. So the measured size and the use cannot differ.
class Layout {
 public:
  explicit Layout(void* block = nullptr) : block_(static_cast<std::byte*>(block)) {}

  // 64-byte aligned; null while measuring.
  void* bytes(size_t count);
  template <typename T>
  T* array(int64_t count) {
    return static_cast<T*>(bytes(static_cast<size_t>(count) * sizeof(T)));
  }
  View rows(int64_t rows, int64_t width, DType dtype = DType::kF32) {
    return {bytes(static_cast<size_t>(rows * width) * dtype_size(dtype)), width, dtype};
  }

  // Pieces placed after a rewind reuse the memory of those placed after the mark.
  size_t mark() const { return used_; }
  void rewind(size_t mark) { used_ = mark; }
  size_t most() const { return most_; }  // the most bytes that were in use

 private:
  std::byte* block_;
  size_t used_ = 0, most_ = 0;
};

class OpenDevice;

class Workspace {
 public:
  Workspace() = default;
  ~Workspace() { release(); }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  // Runs place(layout) to measure, makes room on the device, and returns the layout to place in. Throws
  // Error(kOutOfMemory).
  template <typename Place>
  Layout fit(const OpenDevice& device, Place&& place) {
    Layout measured;
    place(measured);
    return Layout(reserve(device, measured.most()));
  }
  void release();
  size_t bytes() const { return capacity_; }  // of the block

 private:
  void* reserve(const OpenDevice& device, size_t bytes);

  const Backend* backend_ = nullptr;
  Device* device_ = nullptr;  // of the block; host backends need none
  void* block_ = nullptr;
  size_t capacity_ = 0;
};

}  // namespace embedcore
