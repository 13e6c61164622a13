// What the checked build knows of every byte that kernels access: who wrote and read it last, and when. An access is a
// record of 64 bits:
//   epoch (32) | clock of the agent (19) | flags (3) | thread (10)
// Epochs are counted over all blocks of all launches; a block takes a new one at each of its barriers. Within an epoch,
// what orders two accesses are the clocks: a warp's clock advances when it releases something (sync_warp, named
// barriers, barriers in shared memory), and every warp knows up to which clock of every other agent it is synchronised.
// The agents of a block are its warps and the copy unit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "emulator/block.h"

namespace embedcore::cuda::emulator {

using Record = uint64_t;
constexpr Record kThreadMask = 0x3ff;
constexpr Record kInFlight = 1u << 10;  // of a write: an asynchronous copy that has not been waited for
constexpr Record kMany = 1u << 10;      // of a read: by several threads (Readers) or by several blocks (no thread)
constexpr Record kAtomic = 1u << 11;    // of a write
constexpr Record kReading = 1u << 11;   // of a read: by a store of the copy unit that has not been waited for
constexpr Record kCopyUnit = 1u << 12;  // of a write or read: by the copy unit, for that thread
constexpr int kClockShift = 13;
constexpr Record kClockMask = 0x7ffff;
constexpr uint32_t epoch_of(Record record) { return static_cast<uint32_t>(record >> 32); }
constexpr uint32_t clock_of(Record record) { return static_cast<uint32_t>(record >> kClockShift & kClockMask); }
constexpr int thread_of(Record record) { return static_cast<int>(record & kThreadMask); }

constexpr int kAgents = kMaxWarps + 1;
constexpr int kCopyAgent = kMaxWarps;

// Shadow of a piece of memory: the last write and the last read of each word, 0 = never, and from where in the kernel.
// Where the bytes of a word differ its write is kSplit, and each byte has records of its own.
constexpr Record kSplit = 0x7fffffffffffffff;
// The write of a word that belongs to a barrier in shared memory.
constexpr Record kClosed = Record{0x7ffffffe} << 32;
struct Shadow {
  const unsigned char* memory = nullptr;
  Record *writes = nullptr, *reads = nullptr;
  Record *byte_writes = nullptr, *byte_reads = nullptr;
  int32_t *writers = nullptr, *readers = nullptr;  // packed sites

  void split(size_t word) const {
    if (writes[word] == kSplit) return;
    for (size_t i = 4 * word; i < 4 * word + 4; ++i) byte_writes[i] = writes[word], byte_reads[i] = reads[word];
    writes[word] = kSplit;
  }
  Record write_of(size_t byte) const { return writes[byte / 4] == kSplit ? byte_writes[byte] : writes[byte / 4]; }
  Record read_of(size_t byte) const { return writes[byte / 4] == kSplit ? byte_reads[byte] : reads[byte / 4]; }
};

// Bytes of a page of device memory that are allocated.
struct PageRange {
  uint16_t begin, end;
};
struct DeviceShadow {
  Shadow shadow;
  PageRange* pages = nullptr;
};

// The readers of 16 bytes of shared memory that several threads read in one epoch.
struct Readers {
  uint32_t epoch;
  // 0 = none, else clock + 1 (19 bits), several lanes (1), thread (10).
  uint32_t of_agent[kAgents];
};

// What an agent, or a barrier, knows of the agents: accesses with a smaller clock came before.
using Clocks = uint32_t[kAgents];

constexpr uint32_t kEpochsAtOnce = 64;  // that a block takes; the first one is a multiple of it

// Of one block of threads; kept with its memory.
struct BlockCheck {
  Shadow shared;
  Readers* readers = nullptr;  // of each 16 bytes of shared memory
  const DeviceShadow* device = nullptr;
  LaunchCheck* launch = nullptr;
  uint32_t epoch = 0, first_epoch = 0, fence_epoch = 0;
  std::vector<uint32_t> chunks;  // the first epochs of all that the block took
  Clocks clock = {};
  Record stamp[kMaxWarps] = {};     // epoch and clock of a warp, as its accesses carry them
  uint32_t synced[kMaxWarps] = {};  // the clock at the last synchronisation of all lanes
  Clocks known[kMaxWarps] = {};
  bool clocks_used = false;                         // in this epoch: by barriers other than the block's
  std::unordered_map<uint32_t, uint32_t> acquired;  // of other blocks: first epoch of a chunk -> end of what is known
  Clocks barriers[16] = {};                         // what those knew that have arrived at a named barrier
  bool waited[kMaxThreads] = {};                    // called wait_for_previous_kernel
};

// Of one launch.
struct LaunchCheck {
  uint32_t first_epoch = 0;
  uint32_t previous_epoch = 0;  // the first of the kernel that may still run; 0 = it has ended
  std::mutex mutex;
  // What blocks published by fence_device before an atomic operation on a word. Guarded by mutex.
  std::unordered_map<const void*, std::unordered_map<uint32_t, uint32_t>> published;
};

// --- for the runtime; the lock of the runtime is held ---

void begin_launch_check(LaunchCheck& launch);
// The host, a copy or a fill wrote device memory; `from` is device memory or null.
void host_wrote(int device, const void* memory, size_t bytes, const void* from = nullptr);
void add_shadow(int device, const void* memory, size_t bytes);
void remove_shadow(int device, const void* memory, size_t bytes);

// --- for blocks ---

BlockCheck* make_block_check(const unsigned char* arena, size_t arena_bytes);  // null if there is no memory
void begin_block_check(Block& block);
void block_synced(Block& block);
void warp_synced(Warp& warp);
void arrived_at(Thread& me, Clocks& barrier);
// A warp that waited knows what the barrier knows; `all_lanes`: they all waited.
void released_by(Block& block, int warp, const Clocks& barrier, bool all_lanes);

// The copy unit has copied, and a barrier counts it.
void copies_arrived_at(Block& block, Clocks& barrier);
// Words that a barrier in shared memory takes and gives back.
void close_words(Block& block, uint32_t offset, int words);
void open_words(Block& block, uint32_t offset, int words);
// Stands for a fence_async_proxy of now: what the thread wrote before has a smaller clock.
Record fence_record(Thread& me);
bool own_epoch(const BlockCheck& check, uint32_t epoch);
void fenced(Thread& me);
// An atomic operation after fence_device publishes what the block did; one that comes later on the same word knows it.
void synchronise_blocks(Thread& me, const void* word);

// Sites are kept as distances from a function of this library.
inline int32_t packed_site(const void* site) {
  if (!site) return 0;
  return static_cast<int32_t>(static_cast<const char*>(site) -
                              reinterpret_cast<const char*>(&embedcore_emulator_switch));
}
const void* unpacked_site(int32_t site);  // null if there is none

}  // namespace embedcore::cuda::emulator
