// Rows of float32: in memory of their own, or in a mapped file, where rows may lie at any byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/mapped_file.h"
#include "base/weight_memory.h"

namespace embedcore {

class RowBlock {
 public:
  RowBlock() = default;
  // Zeros; rows are 64-byte aligned and padded to a multiple of 16 floats, which stay 0. Throws std::bad_alloc.
  static RowBlock zeros(int64_t rows, int64_t width);
  // One row after the other from `offset` on, or each at its own offset.
  static RowBlock mapped(std::shared_ptr<const MappedFile> file, size_t offset, int64_t rows, int64_t width);
  static RowBlock mapped(std::shared_ptr<const MappedFile> file, std::vector<size_t> offsets, int64_t width);

  int64_t rows() const { return rows_; }
  int64_t width() const { return width_; }
  int64_t stride() const { return stride_; }
  bool is_mapped() const { return file_ != nullptr; }
  // Only of rows in memory.
  float* row(int64_t i) const { return reinterpret_cast<float*>(memory_.data()) + i * stride_; }
  void copy(int64_t i, float* to) const;
  // Throws Error(kInvalidFile) if a mapped file became shorter: reading on would end the process.
  void check() const;
  int64_t memory_bytes() const;

 private:
  int64_t rows_ = 0, width_ = 0, stride_ = 0;
  WeightMemory memory_;
  std::shared_ptr<const MappedFile> file_;
  size_t offset_ = 0;
  std::vector<size_t> offsets_;
};

}  // namespace embedcore
