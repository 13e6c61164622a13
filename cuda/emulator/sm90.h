// What a block of sm_90 has besides: barriers in shared memory, the copy unit (TMA), wgmma, and registers that
// warpgroups give to each other.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "emulator/shadow.h"

namespace embedcore::cuda {
struct TensorMap;
}

namespace embedcore::cuda::emulator {

// --- barriers in shared memory ---

struct Mbarrier {
  uint32_t offset = 0;
  int expected = 0;        // arrivals of a phase
  int missing = 0;         // arrivals of this phase that have not come
  int64_t bytes = 0;       // announced and not yet copied
  uint32_t phase = 0;      // phases that have ended
  bool announced = false;  // barrier_init_done was called
  int maker = 0;           // the thread that made it, in this epoch
  uint32_t made_in = 0;
  const void* site = nullptr;        // where bytes were announced last
  Clocks arriving = {}, ended = {};  // what those knew that arrived in this phase, and in those before
};

void make_barrier(Thread& me, uint32_t offset, int arrivals, const void* site);
void announce_barriers(Thread& me);
// Announces bytes and arrives.
void arrive_at_mbarrier(Thread& me, uint32_t offset, int bytes, const void* site);
void wait_at_mbarrier(Thread& me, uint32_t offset, int parity, const void* site);
// Finds a barrier that this thread may use.
Mbarrier& mbarrier_at(Thread& me, uint32_t offset, const void* site);
// "the barrier at the shared offset 8, which misses ...", for reports.
std::string describe_mbarrier(const Block& block, int offset);
void bytes_arrived(Block& block, Mbarrier& barrier, int bytes);

// --- the copy unit ---

// The contents of a TensorMap.
struct TensorMapContents {
  uint64_t mark;
  const unsigned char* memory;
  int64_t columns, rows, stride_bytes;
  int64_t box_rows;
};

struct TmaCopy {
  TensorMapContents map;
  uint32_t shared = 0, barrier = 0;
  int x = 0, y = 0, thread = 0;
  const void* site = nullptr;
};
// The stores of a thread, as its asynchronous copies.
struct TmaStores {
  std::vector<TmaCopy> copies;
  std::deque<size_t> groups;  // copies of each committed group
  size_t uncommitted = 0;
};
// What a store has read and not yet written: visible at the end of the block.
struct TmaWrite {
  unsigned char* to;
  unsigned char bytes[128];
  int count;
};

void load_by_tma(Thread& me, uint32_t shared, const TensorMap* map, uint32_t barrier, int x, int y, const void* site);
void store_by_tma(Thread& me, const TensorMap* map, uint32_t shared, int x, int y, const void* site);
void commit_stores(Thread& me);
void wait_for_stores(Thread& me, size_t groups);
void fence_proxy(Thread& me);
// Lets one copy happen that could have happened for long. False if there is none.
bool copy_one(Block& block);

// --- wgmma ---

// Sums of 16 rows and 8 columns.
struct alignas(64) SumsBlock {
  float at[16 * 8];
};
// The sums of a warp for one array of registers, while instructions on them are under way.
struct WgmmaSums {
  float* registers[32] = {};
  int columns = 0;
  int pending = 0;
  std::vector<SumsBlock> blocks;
};
struct WgmmaWork {
  uint32_t a = 0, b = 0;  // offsets in shared memory
  int columns = 0;
  bool f16 = false, accumulate = false;
  WgmmaSums* sums = nullptr;
  const void* site = nullptr;
};
struct WgmmaQueue {
  std::deque<WgmmaWork> work;
  std::deque<size_t> groups;
  size_t uncommitted = 0;
  std::vector<WgmmaSums*> sums;  // those with work under way
  std::vector<WgmmaSums*> spare;
  bool fenced = false;
  uint64_t history = 0;  // of what was issued: equal in the four warps of a warpgroup
};

uint64_t wgmma_descriptor_of(uint32_t offset);
// The lanes have met; their registers are in `registers`.
void issue_wgmma(Warp& warp, float* const (&registers)[32], uint64_t a, uint64_t b, int columns, bool f16,
                 bool accumulate, const void* site);
void commit_wgmma(Warp& warp);
void wait_for_wgmma(Warp& warp, size_t groups);

// --- registers ---

void change_registers(Thread& me, int count, bool more, const void* site);

// --- all of it ---

struct Sm90 {
  std::deque<Mbarrier> barriers;
  std::vector<TmaCopy> loads;
  std::vector<TmaWrite> writes;
  TmaStores stores[kMaxThreads];
  float* lanes[kMaxWarps][32] = {};
  WgmmaQueue wgmma[kMaxWarps];
  int registers[kMaxWarps] = {};
  int free_registers = 0;
  Record fences[kMaxThreads] = {};  // the last fence_async_proxy of each thread
  uint64_t random = 0;
};

void begin_sm90(Block& block);
// What was left undone when the block ended: a sentence, or nothing.
std::string finish_sm90(Block& block);

}  // namespace embedcore::cuda::emulator
