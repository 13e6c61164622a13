// Memory for packed weights. The matrices of a model share chunks of 2 MB pages where the system has them: a small
// model's weights are read from end to end for every batch, and with 4 KB pages a tenth of that time goes into address
// translation.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>

namespace embedcore {

struct WeightChunk;

// Owns its part of a chunk; the chunk is freed with its last part.
class WeightMemory {
 public:
  // All out of line: what the sources of an instruction set include may leave no code behind that others could be
  // linked to.
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

// Where the weights of one model are placed. Models never share a chunk, so that a small one cannot keep the memory of
// a large one. Parts may outlive the arena. Safe from any thread.
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
