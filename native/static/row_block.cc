#include "static/row_block.h"

#include <cstring>
#include <new>

#include "base/error.h"

namespace embedcore {

RowBlock RowBlock::zeros(int64_t rows, int64_t width) {
  RowBlock block;
  block.rows_ = rows;
  block.width_ = width;
  block.stride_ = (width + 15) / 16 * 16;
  const size_t bytes = static_cast<size_t>(rows * block.stride_) * sizeof(float);
  WeightArena arena;
  block.memory_ = arena.allocate(bytes);
  if (!block.memory_.data()) throw std::bad_alloc();
  std::memset(block.memory_.data(), 0, bytes);
  return block;
}

RowBlock RowBlock::mapped(std::shared_ptr<const MappedFile> file, size_t offset, int64_t rows, int64_t width) {
  RowBlock block;
  block.rows_ = rows;
  block.width_ = width;
  block.file_ = std::move(file);
  block.offset_ = offset;
  return block;
}

RowBlock RowBlock::mapped(std::shared_ptr<const MappedFile> file, std::vector<size_t> offsets, int64_t width) {
  RowBlock block;
  block.rows_ = static_cast<int64_t>(offsets.size());
  block.width_ = width;
  block.file_ = std::move(file);
  block.offsets_ = std::move(offsets);
  return block;
}

void RowBlock::copy(int64_t i, float* to) const {
  const size_t bytes = static_cast<size_t>(width_) * sizeof(float);
  if (!file_) {
    std::memcpy(to, row(i), bytes);
  } else {
    const size_t at = offsets_.empty() ? offset_ + static_cast<size_t>(i) * bytes : offsets_[static_cast<size_t>(i)];
    std::memcpy(to, file_->data() + at, bytes);
  }
}

void RowBlock::check() const {
  if (file_ && !file_->intact())
    fail(Code::kInvalidFile, "%s became shorter while its vectors were in use", file_->path().c_str());
}

int64_t RowBlock::memory_bytes() const {
  return (file_ ? 0 : rows_ * stride_ * static_cast<int64_t>(sizeof(float))) +
         static_cast<int64_t>(offsets_.capacity() * sizeof(size_t));
}

}  // namespace embedcore
