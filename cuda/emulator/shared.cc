#include "emulator/shared.h"

#include <algorithm>

#include "emulator/matrix.h"
#include "emulator/memory.h"

namespace embedcore::cuda::emulator {

namespace {

// True if the barrier is complete: everybody who waits at it can run again.
bool arrive(Thread& me, int id, int threads, bool waits, const void* site) {
  Block& block = *me.block;
  NamedBarrier& barrier = block.barriers[id];
  if (barrier.expected == 0) barrier.expected = threads;
  if (barrier.expected != threads)
    fail(site, "the named barrier %d is used for %d threads while others wait at it for %d", id, threads,
         barrier.expected);
  if constexpr (kChecked)
    if (id != 0) arrived_at(me, block.check->barriers[id]);
  if (++barrier.arrived < barrier.expected) return false;
  barrier = {};
  if (id == 0) {
    for (int w = 0; w < block.warp_count; ++w) block.warps[w].ready = kAllLanes;
    if constexpr (kChecked) block_synced(block);
    return true;
  }
  for (int w = 0; w < block.warp_count; ++w) {
    Warp& warp = block.warps[w];
    uint32_t waited = waits && w == me.warp->index ? me.bit : 0;
    for (int lane = 0; lane < 32; ++lane) {
      const Thread& thread = warp.threads[lane];
      if (thread.wait == Wait::kBarrier && thread.wait_id == id) waited |= thread.bit;
    }
    warp.ready |= waited;
    if constexpr (kChecked)
      if (waited) released_by(block, w, block.check->barriers[id], waited == kAllLanes);
  }
  if constexpr (kChecked) std::memset(block.check->barriers[id], 0, sizeof block.check->barriers[id]);
  return true;
}

}  // namespace

void wait_at_barrier(Thread& me, int id, int threads, const void* site) {
  if (arrive(me, id, threads, true, site)) return;
  me.wait = Wait::kBarrier;
  me.wait_id = id;
  me.site = site;
  me.warp->ready &= ~me.bit;
  run_others(me);
  me.wait = Wait::kNothing;
}

void arrive_at_barrier(Thread& me, int id, int threads, const void* site) { arrive(me, id, threads, false, site); }

void check_named_barrier(Thread& me, int id, int threads, const void* site) {
  if (id < 1 || id > 15) fail(site, "named barriers are 1 to 15, not %d", id);
  if (threads < 32 || threads % 32 != 0 || threads > me.block->thread_count)
    fail(site, "the named barrier %d is for %d threads: expected a multiple of 32 up to the %d of the block", id,
         threads, me.block->thread_count);
}

void need_newer_architecture(int architecture, const void* site) {
  fail(site, "the instruction exists from sm_%d on, and sm_%d is emulated", architecture, current->block->architecture);
}

void report_misaligned(const void* at, int bytes, const void* site) {
  fail(site, "an access of %d bytes at %p, which is not %d-byte aligned", bytes, at, bytes);
}

void report_not_global(const void* at, const void* site) {
  fail(site, "%p is shared memory, and the function reads global memory", at);
}

void load_matrices(Warp& warp, const void* site) {
  const Block& block = *warp.threads[0].block;
  const uint32_t(&offsets)[32] = warp.values[warp.parity ^ 1];
  const unsigned char* rows[32];
  uint32_t bad = 0;
  for (int lane = 0; lane < 32; ++lane) {
    const uint32_t offset = offsets[lane];
    if (offset % 16 != 0 || offset + 16 > block.shared_bytes || offset > block.shared_bytes) bad |= 1u << lane;
    rows[lane] = block.arena + offset;
  }
  if (bad) {
    const int lane = __builtin_ctz(bad);
    fail(site, "lane %d gives ldmatrix the offset %u: expected a multiple of 16 within the %u bytes of shared memory",
         lane, offsets[lane], block.shared_bytes);
  }
  if constexpr (kChecked)
    for (int lane = 0; lane < 32; ++lane) check_shared16<Access::kRead>(warp.threads[lane], offsets[lane], site);
  if (warp.operation == Operation::kLoadMatrix) {
    spread_matrices(rows, warp.matrices);
  } else {
    spread_matrices_transposed(rows, warp.matrices);
  }
}

namespace {

void copy_now(Thread& me, const PendingCopy& copy) {
  if constexpr (kChecked) copy_arrived(me, copy);
  unsigned char* to = me.block->arena + copy.to;
  if (copy.bytes == 16) {
    std::memcpy(to, copy.from, 16);
  } else {
    std::memset(to, 0, 16);
    std::memcpy(to, copy.from, static_cast<size_t>(copy.bytes));
  }
}

}  // namespace

void issue_copy(Thread& me, uint32_t to, const void* from, int bytes, const void* site) {
  Block& block = *me.block;
  if (to % 16 != 0 || to + 16 > block.shared_bytes || to > block.shared_bytes)
    fail(site, "copy_async16 to the offset %u: expected a multiple of 16 within the %u bytes of shared memory", to,
         block.shared_bytes);
  if (reinterpret_cast<uintptr_t>(from) % 16 != 0) report_misaligned(from, 16, site);
  if (bytes < 0 || bytes > 16) fail(site, "copy_async16 of %d bytes: expected 0 to 16", bytes);
  check_global(from, site);
  // The address must be valid even where nothing is read.
  static_cast<void>(*static_cast<const volatile unsigned char*>(from));
  const PendingCopy copy{from, to, bytes, site};
  if constexpr (kChecked) copy_issued(me, copy);
  if (block.architecture < 80) {
    copy_now(me, copy);
    return;
  }
  me.copies.push_back(copy);
}

void commit_copies(Thread& me) {
  if (me.block->architecture >= 80) me.groups.push_back(static_cast<uint32_t>(me.copies.size()));
}

void wait_for_copies(Thread& me, uint32_t groups) {
  const size_t committed = me.groups.size();
  while (committed - me.first_group > groups) {
    const uint32_t end = me.groups[me.first_group++];
    for (; me.first_copy < end; ++me.first_copy) copy_now(me, me.copies[me.first_copy]);
  }
  // What has been copied is forgotten now and then.
  if (me.first_group >= 64) {
    me.groups.erase(me.groups.begin(), me.groups.begin() + me.first_group);
    me.copies.erase(me.copies.begin(), me.copies.begin() + me.first_copy);
    for (uint32_t& end : me.groups) end -= me.first_copy;
    me.first_group = me.first_copy = 0;
  }
}

void leave(Thread& me) {
  const size_t committed = me.groups.empty() ? 0 : me.groups.back();
  if (me.copies.size() > committed)
    fail(nullptr, "the thread ends with %zu copies of copy_async16 that were not committed",
         me.copies.size() - committed);
}

}  // namespace embedcore::cuda::emulator
