// Barriers in shared memory. Their state is kept here and not in their 8 bytes, which nobody may touch.
#include "emulator/access.h"
#include "emulator/report.h"
#include "emulator/sm90.h"

namespace embedcore::cuda::emulator {

namespace {

constexpr int64_t kMostBytes = (1 << 20) - 1;  // that a phase can count

Mbarrier* find(Block& block, uint32_t offset) {
  for (Mbarrier& barrier : block.sm90->barriers)
    if (barrier.offset == offset) return &barrier;
  return nullptr;
}

void check_offset(Thread& me, uint32_t offset, const void* site) {
  if (offset % 8 != 0 || offset + 8 > me.block->shared_bytes)
    fail(site, "a barrier at the shared offset %u: expected a multiple of 8 within the %u bytes of shared memory",
         offset, me.block->shared_bytes);
}

bool phase_has_ended(const Mbarrier& barrier, int parity) { return static_cast<int>(barrier.phase & 1) != parity; }

// Ends the phase if nothing is missing, and lets those continue who wait for it.
void end_phase(Block& block, Mbarrier& barrier) {
  if (barrier.missing > 0 || barrier.bytes != 0) return;
  for (int t = 0; t < block.thread_count; ++t) {
    const Thread& thread = block.threads[t];
    if (thread.wait == Wait::kMbarrier && thread.wait_id == static_cast<int>(barrier.offset) &&
        (thread.warp->ready & thread.bit) && thread.wait_parity != static_cast<int>(barrier.phase & 1))
      fail(
          thread.site,
          "the barrier at the shared offset %u ends another phase before thread %d, which waits for the one before it, "
          "has seen that end",
          barrier.offset, t);
  }
  const int ended = static_cast<int>(barrier.phase & 1);
  ++barrier.phase;
  barrier.missing = barrier.expected;
  if constexpr (kChecked) {
    for (int agent = 0; agent < kAgents; ++agent)
      barrier.ended[agent] =
          barrier.ended[agent] > barrier.arriving[agent] ? barrier.ended[agent] : barrier.arriving[agent];
    std::memset(barrier.arriving, 0, sizeof barrier.arriving);
  }
  for (int t = 0; t < block.thread_count; ++t) {
    Thread& thread = block.threads[t];
    if (thread.wait == Wait::kMbarrier && thread.wait_id == static_cast<int>(barrier.offset) &&
        thread.wait_parity == ended)
      thread.warp->ready |= thread.bit;
  }
}

}  // namespace

std::string describe_mbarrier(const Block& block, int offset) {
  for (const Mbarrier& barrier : block.sm90->barriers)
    if (barrier.offset == static_cast<uint32_t>(offset))
      return format("the barrier at the shared offset %d, which misses %d arrivals and %lld bytes", offset,
                    barrier.missing, static_cast<long long>(barrier.bytes));
  return "";
}

void make_barrier(Thread& me, uint32_t offset, int arrivals, const void* site) {
  need_architecture(90, site);
  const OutsideKernel outside(me);
  check_offset(me, offset, site);
  if (arrivals < 1 || arrivals >= 1 << 20) fail(site, "a barrier for %d arrivals: expected 1 to 2^20 - 1", arrivals);
  Block& block = *me.block;
  if (find(block, offset)) fail(site, "the barrier at the shared offset %u is made twice", offset);
  Mbarrier& barrier = block.sm90->barriers.emplace_back();
  barrier.offset = offset;
  barrier.expected = barrier.missing = arrivals;
  barrier.maker = me.index;
  if constexpr (kChecked) {
    barrier.made_in = block.check->epoch;
    close_words(block, offset, 2);
  }
}

void announce_barriers(Thread& me) {
  const OutsideKernel outside(me);
  for (Mbarrier& barrier : me.block->sm90->barriers)
    if (barrier.maker == me.index) barrier.announced = true;
}

Mbarrier& mbarrier_at(Thread& me, uint32_t offset, const void* site) {
  check_offset(me, offset, site);
  Mbarrier* barrier = find(*me.block, offset);
  if (!barrier) fail(site, "there is no barrier at the shared offset %u", offset);
  if (!barrier->announced)
    fail(site, "the barrier at the shared offset %u is used before barrier_init_done was called", offset);
  if constexpr (kChecked)
    if (barrier->maker != me.index && barrier->made_in == me.block->check->epoch)
      fail(site, "the barrier at the shared offset %u, which thread %d made, is used before the block has met", offset,
           barrier->maker);
  return *barrier;
}

void arrive_at_mbarrier(Thread& me, uint32_t offset, int bytes, const void* site) {
  need_architecture(90, site);
  const OutsideKernel outside(me);
  Mbarrier& barrier = mbarrier_at(me, offset, site);
  if (barrier.missing == 0)
    fail(site, "the barrier at the shared offset %u has had its %d arrivals in this phase", offset, barrier.expected);
  if (bytes < 0 || barrier.bytes + bytes > kMostBytes) fail(site, "a barrier cannot count %d bytes more", bytes);
  if (bytes > 0) barrier.site = site;
  barrier.bytes += bytes;
  --barrier.missing;
  if constexpr (kChecked) arrived_at(me, barrier.arriving);
  end_phase(*me.block, barrier);
}

void bytes_arrived(Block& block, Mbarrier& barrier, int bytes) {
  barrier.bytes -= bytes;
  if (barrier.missing == 0 && barrier.bytes < 0)
    fail(barrier.site, "the barrier at the shared offset %u gets %lld bytes more than were announced", barrier.offset,
         static_cast<long long>(-barrier.bytes));
  if constexpr (kChecked) copies_arrived_at(block, barrier.arriving);
  end_phase(block, barrier);
}

void wait_at_mbarrier(Thread& me, uint32_t offset, int parity, const void* site) {
  need_architecture(90, site);
  if (parity != 0 && parity != 1) fail(site, "barrier_wait for the parity %d: expected 0 or 1", parity);
  Mbarrier* barrier;
  {
    const OutsideKernel outside(me);
    barrier = &mbarrier_at(me, offset, site);
  }
  if (!phase_has_ended(*barrier, parity)) {
    me.wait = Wait::kMbarrier;
    me.wait_id = static_cast<int>(offset);
    me.wait_parity = parity;
    me.site = site;
    me.warp->ready &= ~me.bit;
    run_others(me);
    me.wait = Wait::kNothing;
  }
  if constexpr (kChecked) released_by(*me.block, me.warp->index, barrier->ended, false);
}

}  // namespace embedcore::cuda::emulator
