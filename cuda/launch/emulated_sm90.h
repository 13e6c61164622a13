// The launch layer on the CPU: barriers in shared memory, TMA and wgmma.
#pragma once

#include "emulator/sm90.h"

namespace embedcore::cuda {

EMULATED void barrier_init(uint32_t offset, int arrivals) {
  emulator::make_barrier(*emulator::current, offset, arrivals, EMULATED_SITE);
}
EMULATED void barrier_init_done() { emulator::announce_barriers(*emulator::current); }
EMULATED void barrier_arrive(uint32_t offset) {
  emulator::arrive_at_mbarrier(*emulator::current, offset, 0, EMULATED_SITE);
}
EMULATED void barrier_arrive_expect(uint32_t offset, int bytes) {
  emulator::arrive_at_mbarrier(*emulator::current, offset, bytes, EMULATED_SITE);
}
EMULATED void barrier_wait(uint32_t offset, int parity) {
  emulator::wait_at_mbarrier(*emulator::current, offset, parity, EMULATED_SITE);
}

EMULATED void tma_load_2d(uint32_t to_offset, const TensorMap* map, uint32_t barrier_offset, int x, int y) {
  emulator::load_by_tma(*emulator::current, to_offset, map, barrier_offset, x, y, EMULATED_SITE);
}
EMULATED void tma_store_2d(const TensorMap* map, uint32_t from_offset, int x, int y) {
  emulator::store_by_tma(*emulator::current, map, from_offset, x, y, EMULATED_SITE);
}
EMULATED void tma_store_commit() { emulator::commit_stores(*emulator::current); }
template <int N>
EMULATED void tma_store_wait() {
  emulator::wait_for_stores(*emulator::current, N);
}
EMULATED void fence_async_proxy() { emulator::fence_proxy(*emulator::current); }

EMULATED uint64_t wgmma_descriptor(uint32_t offset) { return emulator::wgmma_descriptor_of(offset); }
EMULATED void wgmma_fence() {
  emulator::meet(*emulator::current, emulator::Operation::kWgmmaFence, EMULATED_SITE,
                 [](emulator::Warp& w) EMULATED_BODY { w.threads[0].block->sm90->wgmma[w.index].fenced = true; });
}
EMULATED void wgmma_commit() {
  emulator::meet(*emulator::current, emulator::Operation::kWgmmaCommit, EMULATED_SITE,
                 [](emulator::Warp& w) EMULATED_BODY { emulator::commit_wgmma(w); });
}
template <int N>
EMULATED void wgmma_wait() {
  emulator::meet(*emulator::current, emulator::Operation::kWgmmaWait, EMULATED_SITE,
                 [](emulator::Warp& w) EMULATED_BODY { emulator::wait_for_wgmma(w, N); });
}
template <typename T, int N>
EMULATED void wgmma(float (&d)[N / 2], uint64_t a, uint64_t b, bool accumulate) {
  static_assert(std::is_same_v<T, bf16> || std::is_same_v<T, f16>);
  static_assert(N % 8 == 0 && N >= 8 && N <= 256);
  const void* site = EMULATED_SITE;
  emulator::Thread& me = *emulator::current;
  float*(&registers)[32] = me.block->sm90->lanes[me.warp->index];
  registers[me.lane] = d;
  emulator::meet(me, emulator::Operation::kWgmma, site, [&](emulator::Warp& w) EMULATED_BODY {
    emulator::issue_wgmma(w, registers, a, b, N, std::is_same_v<T, f16>, accumulate, site);
  });
}

template <int N>
EMULATED void release_registers() {
  const void* site = EMULATED_SITE;
  emulator::Thread& me = *emulator::current;
  emulator::meet(me, emulator::Operation::kSetRegisters, site,
                 [&](emulator::Warp&) EMULATED_BODY { emulator::change_registers(me, N, false, site); });
}
template <int N>
EMULATED void claim_registers() {
  const void* site = EMULATED_SITE;
  emulator::Thread& me = *emulator::current;
  emulator::meet(me, emulator::Operation::kSetRegisters, site,
                 [&](emulator::Warp&) EMULATED_BODY { emulator::change_registers(me, N, true, site); });
}

}  // namespace embedcore::cuda
