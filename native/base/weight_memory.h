// Memory for packed weights. The matrices of a model share chunks of 2 MB pages if the system provides them. A small
// model's weights are read from end to end for every batch, and with 4 KB pages address translation takes a tenth of
// that time.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>

namespace embedcore {

struct WeightChunk;

// Owns its part of a chunk; the chunk is freed with its last part.
class WeightMemory {
 public:
  // All functions are out of line: a header that the sources of an instruction set include must not define code that
  // other sources could be linked to.
  WeightMemory() noexcept;
  ~WeightMemory();
  WeightMemory(WeightMemory&&) noexcept;
  WeightMemory& operator=(WeightMemory&&) noexcept;
  std::byte* data() const { return data_; }

 private:
  friend class WeightArena;
  std::shared_ptr<WeightChunk> chunk_;
  std::byte* data_ = nullptr;
};

// Allocates the weights of one model. Models never share a chunk, so a small one cannot keep the memory of a large one
// alive. Parts may outlive the arena. Safe from any thread.
class WeightArena {
 public:
  // 64-byte aligned; data() is null when no memory is left.
  WeightMemory allocate(size_t bytes) noexcept;

 private:
  std::mutex mutex_;
  // Guarded by mutex_.
  std::weak_ptr<WeightChunk> open_;  // the chunk with room left
};

}  // namespace embedcore
