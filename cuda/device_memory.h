// The memory of an opened GPU: few large blocks of the runtime, cut into pieces, so that loading hundreds of tensors
// takes few of the runtime's allocations, each of which may wait for all work of the GPU.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>

#include "runtime.h"

namespace embedcore::cuda {

// Safe from any thread. The caller has made its device the current one of the thread.
class DeviceMemory {
 public:
  // first_block_bytes: 0 = every piece is a block of its own.
  explicit DeviceMemory(size_t first_block_bytes) : next_block_bytes_(first_block_bytes) {}
  ~DeviceMemory();  // gives everything back
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  // 256-byte aligned; null with the error.
  void* allocate(size_t bytes, Error* error) noexcept;
  // No work that was launched before may still use the memory.
  Error release(void* memory) noexcept;

  // How often memory was released: addresses that were remembered at another count may belong to something else.
  uint64_t releases() const { return releases_.load(std::memory_order_acquire); }

 private:
  struct Piece {
    size_t bytes;
    bool free;
  };
  struct Block {
    size_t bytes;
    std::map<size_t, Piece> pieces;  // by offset; they cover the block, and no two neighbours are free
  };

  void* take(std::byte* begin, Block& block, size_t bytes);
  void* take_from_new_block(size_t block_bytes, size_t bytes, Error* error);

  std::atomic<uint64_t> releases_{0};
  std::mutex mutex_;
  // Guarded by mutex_.
  std::map<std::byte*, Block> blocks_;
  size_t next_block_bytes_;
};

}  // namespace embedcore::cuda
