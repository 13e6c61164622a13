// What the functions of launch/emulated.h do inside: barriers, shared memory, asynchronous copies, checks of addresses.
#pragma once

#include "emulator/access.h"

namespace embedcore::cuda::emulator {

// --- barriers ---

// Barrier 0 is that of the block.
void wait_at_barrier(Thread& me, int id, int threads, const void* site);
void arrive_at_barrier(Thread& me, int id, int threads, const void* site);
void check_named_barrier(Thread& me, int id, int threads, const void* site);

// --- memory ---

[[noreturn]] void report_not_global(const void* at, const void* site);

// An access of the launch layer; the accesses of the kernel itself are seen by the checked build alone.
template <int kBytes, Access kAccess>
EMULATED_PART void check_aligned(const void* at, const void* site) {
  if (reinterpret_cast<uintptr_t>(at) & (kBytes - 1)) [[unlikely]]
    report_misaligned(at, kBytes, site);
  if constexpr (kChecked) check_access<kBytes, kAccess>(*current, at, site);
}
// The address may not be in shared memory.
EMULATED_PART void check_global(const void* at, const void* site) {
  const Block& block = *current->block;
  if (static_cast<size_t>(static_cast<const unsigned char*>(at) - block.arena) < block.shared_bytes) [[unlikely]]
    report_not_global(at, site);
}

// The offsets of the lanes are in warp.values of the operation that just met.
void load_matrices(Warp& warp, const void* site);

void issue_copy(Thread& me, uint32_t to, const void* from, int bytes, const void* site);
void commit_copies(Thread& me);
// Copies the oldest groups until `groups` are left.
void wait_for_copies(Thread& me, uint32_t groups);
// The thread ends.
void leave(Thread& me);

EMULATED_PART void wait_for_previous(Thread& me) {
  if constexpr (kChecked) me.block->check->waited[me.index] = true;
}

// --- fragments, row-major in the warp ---

template <int kA, int kB>
EMULATED_PART void give_operands(Thread& me, const uint32_t (&a)[kA], const uint32_t (&b)[kB]) {
  Fragments& f = me.warp->fragments;
  const int g = me.lane >> 2, t = me.lane & 3;
  for (int r = 0; r < kA; ++r) f.a[8 * (g + 8 * (r & 1)) + t + 4 * (r >> 1)] = a[r];
  for (int r = 0; r < kB; ++r) f.b[8 * (t + 4 * r) + g] = b[r];
}
template <typename T>
EMULATED_PART void give_sums(Thread& me, const T (&c)[4]) {
  float* sums = me.warp->fragments.c + 8 * (me.lane >> 2) + 2 * (me.lane & 3);
  std::memcpy(sums, c, 8);
  std::memcpy(sums + 64, c + 2, 8);
}
template <typename T>
EMULATED_PART void take_sums(Thread& me, T (&c)[4]) {
  const float* sums = me.warp->fragments.c + 8 * (me.lane >> 2) + 2 * (me.lane & 3);
  std::memcpy(c, sums, 8);
  std::memcpy(c + 2, sums + 64, 8);
}

}  // namespace embedcore::cuda::emulator
