#include "base/weight_memory.h"

#include <algorithm>
#include <mutex>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace embedcore {

namespace {
constexpr size_t kPage = size_t{2} << 20;
constexpr size_t kChunk = 4 * kPage;  // what is not used of the last chunk is never touched, so takes no memory
}  // namespace

struct WeightChunk {
  explicit WeightChunk(size_t size)
      : bytes(size), data(static_cast<std::byte*>(::operator new (size, std::align_val_t{kPage}, std::nothrow))) {
#if defined(__linux__)
    if (data) madvise(data, bytes, MADV_HUGEPAGE);  // a wish: refused, the weights are as right and a little slower
#endif
  }
  ~WeightChunk() { ::operator delete (data, std::align_val_t{kPage}); }
  WeightChunk(const WeightChunk&) = delete;
  WeightChunk& operator=(const WeightChunk&) = delete;

  size_t bytes, used = 0;
  std::byte* data;
};

WeightMemory::WeightMemory() noexcept = default;
WeightMemory::~WeightMemory() = default;
WeightMemory& WeightMemory::operator=(WeightMemory&&) noexcept = default;

WeightMemory::WeightMemory(size_t bytes) noexcept {
  static std::mutex mutex;
  static std::weak_ptr<WeightChunk> open;  // with room left
  bytes = (bytes + 63) / 64 * 64;
  const std::lock_guard lock(mutex);
  chunk_ = open.lock();
  if (!chunk_ || chunk_->bytes - chunk_->used < bytes) {
    try {
      chunk_ = std::make_shared<WeightChunk>(std::max(kChunk, (bytes + kPage - 1) / kPage * kPage));
    } catch (const std::bad_alloc&) {
      chunk_.reset();
      return;
    }
    if (!chunk_->data) return;
    open = chunk_;
  }
  data_ = chunk_->data + chunk_->used;
  chunk_->used += bytes;
}

}  // namespace embedcore
