#include "model/workspace.h"

#include <algorithm>

#include "model/device.h"

namespace embedcore {

void* Layout::bytes(size_t count) {
  void* piece = block_ ? block_ + used_ : nullptr;
  used_ += (count + 63) / 64 * 64;
  most_ = std::max(most_, used_);
  return piece;
}

void Workspace::release() {
  if (block_) backend_->release(device_, block_);
  block_ = nullptr;
  capacity_ = 0;
}

void* Workspace::reserve(const OpenDevice& device, size_t bytes) {
  const Backend& backend = device.backend();
  // A block of host memory can be used for every model and outlives them; a block on a device belongs to that device.
  Device* owner = backend.host_memory ? nullptr : device.handle();
  const bool same = block_ && owner == device_ && backend_->release == backend.release;
  // On a host a block that is eight times larger than needed is freed, so that one very long text does not keep its
  // memory forever. On a device it stays: freeing waits for the work of other batches and ends recorded work.
  constexpr size_t kLarge = size_t{16} << 20;
  if (same && bytes <= capacity_ && (owner || capacity_ <= kLarge || bytes >= capacity_ / 8)) return block_;
  release();
  const size_t rounded = bytes + bytes / 8 + 64;
  void* block = backend.allocate(owner, rounded);
  if (!block) fail(Code::kOutOfMemory, "no memory for %zu bytes of activations on %s", rounded, backend.name);
  backend_ = &backend;
  device_ = owner;
  block_ = block;
  capacity_ = rounded;
  return block_;
}

}  // namespace embedcore
