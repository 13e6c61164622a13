// Accesses of kernels in the checked build: are they inside of memory, is the memory written, does anything order them
// with the accesses of others? A wrong one ends the launch with a report.
#pragma once

#include "emulator/shadow.h"

namespace embedcore::cuda::emulator {

enum class Access : uint8_t { kRead, kWrite, kAtomic };

// An access to any memory. Compiled for 1, 2, 4, 8 and 16 bytes.
template <int kBytes, Access kAccess>
void check_access(Thread& me, const void* at, const void* site);
// Any number of bytes.
void check_range(Thread& me, const void* at, size_t bytes, Access access, const void* site);
// Sixteen bytes of shared memory.
template <Access kAccess>
void check_shared16(Thread& me, uint32_t offset, const void* site);

// A copy of copy_async16 begins and ends.
void copy_issued(Thread& me, const PendingCopy& copy);
void copy_arrived(Thread& me, const PendingCopy& copy);

// A load of the copy unit to 16 bytes begins and ends.
void tma_load_issued(Thread& me, uint32_t to, const void* site);
void tma_load_arrived(Block& block, uint32_t to, int thread);
// Sixteen bytes that the copy unit or wgmma reads for this thread: what threads wrote there needs a fence_async_proxy.
void check_async_operand(Thread& me, uint32_t offset, const void* site);
// A store of the copy unit begins and ends to read 16 bytes: between the two nobody may write them.
void tma_store_reads(Thread& me, uint32_t offset, bool begins);

}  // namespace embedcore::cuda::emulator
