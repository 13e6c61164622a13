#include "device_memory.h"

#include <algorithm>
#include <new>

namespace embedcore::cuda {

namespace {

constexpr size_t kAlignment = 256;
// Blocks double up to this, so that a small model takes little memory and a large one few blocks.
constexpr size_t kLargestBlock = size_t{256} << 20;

}  // namespace

DeviceMemory::~DeviceMemory() {
  // Errors: the device has failed or the process ends, and the driver frees the memory.
  for (const auto& [begin, block] : blocks_) cuda::release(begin);
}

// The smallest free piece that is large enough, or null.
void* DeviceMemory::take(std::byte* begin, Block& block, size_t bytes) {
  auto best = block.pieces.end();
  for (auto it = block.pieces.begin(); it != block.pieces.end(); ++it)
    if (it->second.free && it->second.bytes >= bytes &&
        (best == block.pieces.end() || it->second.bytes < best->second.bytes))
      best = it;
  if (best == block.pieces.end()) return nullptr;
  if (best->second.bytes > bytes) {
    block.pieces.emplace_hint(std::next(best), best->first + bytes, Piece{best->second.bytes - bytes, true});
    best->second.bytes = bytes;
  }
  best->second.free = false;
  return begin + best->first;
}

void* DeviceMemory::take_from_new_block(size_t block_bytes, size_t bytes, Error* error) {
  Block block{block_bytes, {}};
  block.pieces.emplace(0, Piece{block_bytes, true});
  void* memory = nullptr;
  *error = cuda::allocate(&memory, block_bytes);
  if (*error != Error::kOk) return nullptr;
  auto* begin = static_cast<std::byte*>(memory);
  try {
    void* piece = take(begin, block, bytes);
    blocks_.emplace(begin, std::move(block));
    return piece;
  } catch (const std::bad_alloc&) {
    cuda::release(memory);
    *error = Error::kOutOfMemory;
    return nullptr;
  }
}

void* DeviceMemory::allocate(size_t bytes, Error* error) noexcept {
  std::lock_guard lock(mutex_);
  *error = Error::kOk;
  if (bytes > SIZE_MAX - kAlignment) {
    *error = Error::kOutOfMemory;
    return nullptr;
  }
  bytes = std::max<size_t>(bytes, 1);
  // A block of its own is aligned as it is, and has no bytes that nobody asked for.
  if (next_block_bytes_ > 0) bytes = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  try {
    for (auto& [begin, block] : blocks_)
      if (void* piece = take(begin, block, bytes)) return piece;
    // A larger piece is a block of its own: the rest of a shared one would often stay unused.
    if (bytes <= next_block_bytes_ / 2) {
      if (void* piece = take_from_new_block(next_block_bytes_, bytes, error)) {
        next_block_bytes_ = std::min(2 * next_block_bytes_, kLargestBlock);
        return piece;
      }
      if (*error != Error::kOutOfMemory) return nullptr;
    }
    return take_from_new_block(bytes, bytes, error);
  } catch (const std::bad_alloc&) {
    *error = Error::kOutOfMemory;
    return nullptr;
  }
}

Error DeviceMemory::release(void* memory) noexcept {
  if (!memory) return Error::kOk;
  auto* at = static_cast<std::byte*>(memory);
  std::lock_guard lock(mutex_);
  releases_.fetch_add(1, std::memory_order_release);
  auto found = blocks_.upper_bound(at);
  if (found == blocks_.begin()) return Error::kInvalidValue;
  --found;
  Block& block = found->second;
  auto piece = block.pieces.find(static_cast<size_t>(at - found->first));
  if (piece == block.pieces.end() || piece->second.free) return Error::kInvalidValue;
  piece->second.free = true;
  if (const auto next = std::next(piece); next != block.pieces.end() && next->second.free) {
    piece->second.bytes += next->second.bytes;
    block.pieces.erase(next);
  }
  if (piece != block.pieces.begin()) {
    if (const auto before = std::prev(piece); before->second.free) {
      before->second.bytes += piece->second.bytes;
      block.pieces.erase(piece);
      piece = before;
    }
  }
  if (piece->second.bytes < block.bytes) return Error::kOk;
  std::byte* begin = found->first;
  blocks_.erase(found);
  return cuda::release(begin);
}

}  // namespace embedcore::cuda
