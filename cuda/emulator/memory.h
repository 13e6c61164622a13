// The memory of emulated devices: addresses that only emulated work may touch, with closed gaps between allocations.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

namespace embedcore::cuda::emulator {

constexpr int kMaxDevices = 8;

// A signalling NaN as float32 and bfloat16, a NaN as float16, and no sensible integer.
constexpr uint16_t kPoison = 0x7fa5;
void poison(void* memory, size_t bytes);
bool is_poison(const void* memory, size_t bytes);

// The caller holds the lock of the runtime, except for the functions marked "any thread".
class DeviceMemory {
 public:
  // 256-byte aligned and poisoned; the end touches a closed page. Null if the device or the system has none left.
  void* allocate(size_t bytes, size_t limit);
  // False if `memory` was not allocated. Reports a write between the end of an allocation and its page.
  bool release(void* memory);

  void open();
  void close();

  size_t used() const { return used_; }
  size_t allocations() const { return blocks_.size(); }

  // Any thread, while no other allocates.
  bool in_range(const void* address) const { return address >= base_ && address < base_ + kSpace; }
  // Whether all of the bytes belong to one allocation.
  bool holds(const void* address, size_t bytes) const;
  // "120 bytes past the end of an allocation of 4096 bytes"; empty if it is inside one.
  std::string describe(const void* address) const;
  unsigned char* base() const { return base_; }
  template <typename Body>
  void for_each(Body&& body) const {
    for (const auto& [at, block] : blocks_) body(at, block.bytes);
  }
  // Bytes of an allocation; 0 if it is none.
  size_t bytes_of(const void* memory) const;

  static constexpr size_t kSpace = size_t{64} << 30;  // reserved addresses, not memory

 private:
  struct Allocation {
    size_t pages;  // bytes of the open pages
    size_t bytes;
  };
  void protect(int access);
  std::map<unsigned char*, Allocation>::const_iterator before(const void* address) const;

  unsigned char* base_ = nullptr;
  size_t used_ = 0;
  bool open_ = false;
  std::map<unsigned char*, Allocation> blocks_;  // by address of the memory
};

DeviceMemory& memory_of_device(int device);

// Host memory made by allocate_pinned.
void* allocate_pinned_memory(size_t bytes);
bool release_pinned_memory(void* memory);
bool is_pinned(const void* memory, size_t bytes);

// Whether the address is in a part of this library that nobody can write.
bool is_constant(const void* address);

// What lies at an address, for reports. Any thread.
std::string describe_address(const void* address);

// Turns a fault of a kernel into a report and the end of its launch, once per process.
void catch_faults();
// Called in the fiber that accessed the address.
[[noreturn]] void report_fault(void* address);

}  // namespace embedcore::cuda::emulator
