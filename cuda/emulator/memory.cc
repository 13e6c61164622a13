#include "emulator/memory.h"

#include <link.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>

#include "emulator/report.h"

namespace embedcore::cuda::emulator {

namespace {

constexpr size_t kPage = 4096;
constexpr size_t kLargePage = size_t{2} << 20;
constexpr size_t kAlignment = 256;

size_t round_up(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

unsigned char poison_at(const unsigned char* at) {
  return static_cast<unsigned char>(reinterpret_cast<uintptr_t>(at) % 2 ? kPoison >> 8 : kPoison & 0xff);
}

struct Pinned {
  std::mutex mutex;
  std::map<const unsigned char*, size_t> blocks;  // guarded by mutex
};
Pinned& pinned() {
  static auto* instance = new Pinned;
  return *instance;
}

}  // namespace

void poison(void* memory, size_t bytes) {
  auto* at = static_cast<unsigned char*>(memory);
  size_t done = std::min<size_t>(bytes, 4096);
  for (size_t i = 0; i < done; ++i) at[i] = poison_at(at + i);
  while (done < bytes) {
    const size_t part = std::min(done, bytes - done);  // an even number but for the last part
    std::memcpy(at + done, at, part);
    done += part;
  }
}

bool is_poison(const void* memory, size_t bytes) {
  const auto* at = static_cast<const unsigned char*>(memory);
  for (size_t i = 0; i < bytes; ++i)
    if (at[i] != poison_at(at + i)) return false;
  return true;
}

void* DeviceMemory::allocate(size_t bytes, size_t limit) {
  if (bytes == 0) bytes = 1;
  if (bytes > limit || used_ > limit - bytes) return nullptr;
  if (!base_) {
    void* space = ::mmap(nullptr, kSpace, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (space == MAP_FAILED) return nullptr;
    base_ = static_cast<unsigned char*>(space);
  }
  // The first gap that holds a closed page, the pages, and another closed page.
  const size_t pages = round_up(bytes, kPage);
  unsigned char* begin = base_ + kPage;
  for (const auto& [at, block] : blocks_) {
    unsigned char* first = at - (block.pages - round_up(block.bytes, kAlignment));
    if (first >= begin && static_cast<size_t>(first - begin) >= pages + kPage) break;
    begin = first + block.pages + kPage;
  }
  if (begin + pages + kPage > base_ + kSpace) return nullptr;
  if (::mprotect(begin, pages, PROT_READ | PROT_WRITE) != 0) return nullptr;
  unsigned char* memory = begin + (pages - round_up(bytes, kAlignment));
  try {
    blocks_.emplace(memory, Allocation{pages, bytes});
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
  // Opening and closing takes time for every page.
  if (pages >= kLargePage) ::madvise(begin, pages, MADV_HUGEPAGE);
  poison(begin, pages);
  if (!open_) ::mprotect(begin, pages, PROT_NONE);
  used_ += bytes;
  return memory;
}

bool DeviceMemory::release(void* memory) {
  const auto found = blocks_.find(static_cast<unsigned char*>(memory));
  if (found == blocks_.end()) return false;
  const Allocation block = found->second;
  const size_t rounded = round_up(block.bytes, kAlignment);
  unsigned char* begin = found->first + rounded - block.pages;
  ::mprotect(begin, block.pages, PROT_READ);
  const auto before = static_cast<size_t>(found->first - begin);
  const bool whole = is_poison(begin, before) && is_poison(found->first + block.bytes, rounded - block.bytes);
  if (!whole) add_report(format("a write outside of an allocation of %zu bytes, seen at its release", block.bytes));
  ::madvise(begin, block.pages, MADV_DONTNEED);
  ::mprotect(begin, block.pages, PROT_NONE);
  used_ -= block.bytes;
  blocks_.erase(found);
  return true;
}

void DeviceMemory::open() {
  if (!open_) protect(PROT_READ | PROT_WRITE);
  open_ = true;
}
void DeviceMemory::close() {
  if (open_) protect(PROT_NONE);
  open_ = false;
}
void DeviceMemory::protect(int access) {
  for (const auto& [at, block] : blocks_)
    ::mprotect(at + round_up(block.bytes, kAlignment) - block.pages, block.pages, access);
}

std::map<unsigned char*, DeviceMemory::Allocation>::const_iterator DeviceMemory::before(const void* address) const {
  auto after = blocks_.upper_bound(static_cast<unsigned char*>(const_cast<void*>(address)));
  return after == blocks_.begin() ? blocks_.end() : std::prev(after);
}

bool DeviceMemory::holds(const void* address, size_t bytes) const {
  const auto found = before(address);
  if (found == blocks_.end()) return false;
  const auto offset = static_cast<size_t>(static_cast<const unsigned char*>(address) - found->first);
  return offset <= found->second.bytes && bytes <= found->second.bytes - offset;
}

size_t DeviceMemory::bytes_of(const void* memory) const {
  const auto found = before(memory);
  return found != blocks_.end() && found->first == memory ? found->second.bytes : 0;
}

std::string DeviceMemory::describe(const void* address) const {
  const auto* at = static_cast<const unsigned char*>(address);
  const auto found = before(address);
  if (found != blocks_.end()) {
    const auto offset = static_cast<size_t>(at - found->first);
    if (offset < found->second.bytes) return "";
    const auto next = std::next(found);
    const size_t past = offset - found->second.bytes;
    if (next == blocks_.end() || past <= static_cast<size_t>(next->first - at))
      return format("%zu bytes past the end of an allocation of %zu bytes", past, found->second.bytes);
  }
  const auto next = found == blocks_.end() ? blocks_.begin() : std::next(found);
  if (next == blocks_.end()) return "device memory that is not allocated";
  return format("%zu bytes before an allocation of %zu bytes", static_cast<size_t>(next->first - at),
                next->second.bytes);
}

DeviceMemory& memory_of_device(int device) {
  static auto* instances = new DeviceMemory[kMaxDevices];  // never destroyed: faults may come late
  return instances[device];
}

void* allocate_pinned_memory(size_t bytes) {
  void* memory = std::aligned_alloc(kPage, round_up(bytes ? bytes : 1, kPage));
  if (!memory) return nullptr;
  poison(memory, bytes);
  std::lock_guard lock(pinned().mutex);
  pinned().blocks[static_cast<unsigned char*>(memory)] = bytes;
  return memory;
}

bool release_pinned_memory(void* memory) {
  {
    std::lock_guard lock(pinned().mutex);
    if (pinned().blocks.erase(static_cast<unsigned char*>(memory)) == 0) return false;
  }
  std::free(memory);
  return true;
}

bool is_pinned(const void* memory, size_t bytes) {
  std::lock_guard lock(pinned().mutex);
  const auto* at = static_cast<const unsigned char*>(memory);
  auto after = pinned().blocks.upper_bound(at);
  if (after == pinned().blocks.begin()) return false;
  --after;
  const auto offset = static_cast<size_t>(at - after->first);
  return offset <= after->second && bytes <= after->second - offset;
}

bool is_constant(const void* address) {
  struct Search {
    uintptr_t address;
    bool found = false;
  } search{reinterpret_cast<uintptr_t>(address)};
  ::dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* data) {
        auto& search = *static_cast<Search*>(data);
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const auto& part = info->dlpi_phdr[i];
          const uintptr_t begin = info->dlpi_addr + part.p_vaddr;
          if (part.p_type == PT_LOAD && !(part.p_flags & PF_W) && search.address - begin < part.p_memsz)
            search.found = true;
        }
        return search.found ? 1 : 0;
      },
      &search);
  return search.found;
}

std::string describe_address(const void* address) {
  for (int device = 0; device < kMaxDevices; ++device) {
    const DeviceMemory& memory = memory_of_device(device);
    if (!memory.base() || !memory.in_range(address)) continue;
    const std::string inside = memory.describe(address);
    return inside.empty() ? format("memory of device %d, which may not be touched here", device) : inside;
  }
  if (reinterpret_cast<uintptr_t>(address) < kPage) return "a null pointer";
  return "which is not memory of the device";
}

}  // namespace embedcore::cuda::emulator
