// Memory for packed weights. Matrices of a model share chunks of 2 MB pages where the system has them: a small model's
// weights are read from end to end for every group of texts, and with 4 KB pages a tenth of that time goes into address
// translation.
#pragma once

#include <cstddef>
#include <memory>

namespace embedcore {

struct WeightChunk;

// Owns its part of a chunk; the chunk goes with the last part.
class WeightMemory {
 public:
  // All out of line: what the sources of an instruction set include may leave no code behind that others could be
  // linked to.
  WeightMemory() noexcept;
  ~WeightMemory();
  WeightMemory& operator=(WeightMemory&&) noexcept;
  // 64-byte aligned; data() is null where memory ran out.
  explicit WeightMemory(size_t bytes) noexcept;
  std::byte* data() const { return data_; }

 private:
  std::shared_ptr<WeightChunk> chunk_;
  std::byte* data_ = nullptr;
};

}  // namespace embedcore
