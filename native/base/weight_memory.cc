#include "base/weight_memory.h"

#include <algorithm>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace embedcore {

namespace {
constexpr size_t kPage = size_t{2} << 20;
constexpr size_t kChunk = 4 * kPage;  // the unused end of a chunk is never touched, so it takes no memory
}  // namespace

struct WeightChunk {
  explicit WeightChunk(size_t size)
      : bytes(size), data(static_cast<std::byte*>(::operator new (size, std::align_val_t{kPage}, std::nothrow))) {
#if defined(__linux__)
    if (data) madvise(data, bytes, MADV_HUGEPAGE);  // if this is refused, the weights are only a little slower
#endif
  }
  ~WeightChunk() { ::operator delete (data, std::align_val_t{kPage}); }
  WeightChunk(const WeightChunk&) = delete;
  WeightChunk& operator=(const WeightChunk&) = delete;

  const size_t bytes;
  std::byte* const data;
  size_t used = 0;
};

WeightMemory::WeightMemory() noexcept = default;
WeightMemory::~WeightMemory() = default;
WeightMemory::WeightMemory(WeightMemory&&) noexcept = default;
WeightMemory& WeightMemory::operator=(WeightMemory&&) noexcept = default;

WeightMemory WeightArena::allocate(size_t bytes) noexcept {
  WeightMemory part;
  bytes = (bytes + 63) / 64 * 64;
  const std::lock_guard lock(mutex_);
  part.chunk_ = open_.lock();
  if (!part.chunk_ || part.chunk_->bytes - part.chunk_->used < bytes) {
    try {
      part.chunk_ = std::make_shared<WeightChunk>(std::max(kChunk, (bytes + kPage - 1) / kPage * kPage));
    } catch (const std::bad_alloc&) {
      part.chunk_.reset();
      return part;
    }
    if (!part.chunk_->data) return part;
    open_ = part.chunk_;
  }
  part.data_ = part.chunk_->data + part.chunk_->used;
  part.chunk_->used += bytes;
  return part;
}

}  // namespace embedcore
