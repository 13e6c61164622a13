// Accesses of copies and stores that end later than they begin.
#include "emulator/order.h"

#ifdef EMBEDCORE_EMULATED_CHECKED

#include <string>

#include "emulator/sm90.h"

namespace embedcore::cuda::emulator {

void copy_issued(Thread& me, const PendingCopy& copy) {
  if (copy.bytes > 0) check_range(me, copy.from, static_cast<size_t>(copy.bytes), Access::kRead, copy.site);
  check_shared16<Access::kWrite>(me, copy.to, copy.site);
  set_all<4>(me.block->check->shared.writes + copy.to / 4, context_of(me, false).mine | kInFlight);
}

void copy_arrived(Thread& me, const PendingCopy& copy) {
  // The source may not have been written meanwhile.
  if (copy.bytes > 0) check_range(me, copy.from, static_cast<size_t>(copy.bytes), Access::kRead, copy.site);
  set_all<4>(me.block->check->shared.writes + copy.to / 4, context_of(me, false).mine);
  set_all<4>(me.block->check->shared.reads + copy.to / 4, 0);
}

void tma_load_issued(Thread& me, uint32_t to, const void* site) {
  check_shared16<Access::kWrite>(me, to, site);
  set_all<4>(me.block->check->shared.writes + to / 4, context_of(me, false).mine | kInFlight | kCopyUnit);
}

void tma_load_arrived(Block& block, uint32_t to, int thread) {
  const BlockCheck& check = *block.check;
  const Record record = static_cast<Record>(check.epoch) << 32 |
                        static_cast<Record>(check.clock[kCopyAgent]) << kClockShift | kCopyUnit |
                        static_cast<Record>(thread);
  set_all<4>(check.shared.writes + to / 4, record);
  set_all<4>(check.shared.reads + to / 4, 0);
}

void check_async_operand(Thread& me, uint32_t offset, const void* site) {
  check_shared16<Access::kRead>(me, offset, site);
  const Shadow& shared = me.block->check->shared;
  const Record* fences = me.block->sm90->fences;
  for (uint32_t i = offset; i < offset + 16;) {
    const bool split = shared.writes[i / 4] == kSplit;
    const Record write = shared.write_of(i);
    // Either who wrote has called it since, or who reads has, after a barrier of the block.
    const Record writers = fences[thread_of(write)], readers = fences[me.index];
    if (!(write & kCopyUnit) && write >> kClockShift >= writers >> kClockShift &&
        epoch_of(write) >= epoch_of(readers)) {
      me.outside = true;
      const std::string line = place_in_brackets(shared.writers[i / 4]);
      fail(site,
           "gives 16 bytes at the shared offset %u to the copy unit or wgmma, which thread %d wrote%s without a "
           "fence_async_proxy since",
           offset, thread_of(write), line.c_str());
    }
    i += split ? 1 : 4;
  }
}

void tma_store_reads(Thread& me, uint32_t offset, bool begins) {
  const Shadow& shared = me.block->check->shared;
  const Record mine = context_of(me, false).mine, record = begins ? mine | kCopyUnit | kReading : mine;
  for (uint32_t word = offset / 4; word < offset / 4 + 4; ++word) {
    shared.reads[word] = record;
    if (shared.writes[word] == kSplit)
      for (uint32_t i = 4 * word; i < 4 * word + 4; ++i) shared.byte_reads[i] = record;
  }
}

}  // namespace embedcore::cuda::emulator

#endif
