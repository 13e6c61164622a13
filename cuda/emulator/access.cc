#include "emulator/access.h"

#ifdef EMBEDCORE_EMULATED_CHECKED

#include <algorithm>
#include <cstring>
#include <string>

#include "emulator/memory.h"
#include "emulator/report.h"
#include "emulator/sm90.h"

#define EMULATED_INSIDE inline __attribute__((always_inline))

namespace embedcore::cuda::emulator {

namespace {

constexpr size_t kPage = 4096;
constexpr Record kWithoutClock = ~(kClockMask << kClockShift);  // epoch, flags and thread

int agent_of(Record record) { return record & kCopyUnit ? kCopyAgent : thread_of(record) / 32; }

// What is wrong with an access.
enum class Verdict { kRight, kUninitialised, kInFlight, kAfterWrite, kAfterRead, kOverlap, kBarrier, kStillRead };

// One access, and what decides about it.
struct Context {
  Thread& me;
  BlockCheck& check;
  const Shadow& shadow;
  bool global;
  uint32_t low, high;  // records of epochs in [low, high) came before
  Record mine;
};

EMULATED_INSIDE Context context_of(Thread& me, bool global) {
  BlockCheck& check = *me.block->check;
  const Record mine = check.stamp[me.warp->index] | static_cast<Record>(me.index);
  if (!global) return {me, check, check.shared, false, check.first_epoch, check.epoch, mine};
  const LaunchCheck& launch = *check.launch;
  const bool overlaps = launch.previous_epoch != 0 && !check.waited[me.index];
  return {me, check, check.device->shadow, true, 1, overlaps ? launch.previous_epoch : launch.first_epoch, mine};
}

// Whether the access of a record came before this one.
bool ordered(const Context& context, Record record) {
  const uint32_t epoch = epoch_of(record);
  const BlockCheck& check = context.check;
  if (epoch == check.epoch) {
    if (thread_of(record) == context.me.index && !(record & kCopyUnit)) return true;
    const int agent = agent_of(record), warp = context.me.warp->index;
    return clock_of(record) < (agent == warp ? check.synced[warp] : check.known[warp][agent]);
  }
  if (!context.global || epoch < context.high || own_epoch(check, epoch)) return true;
  const OutsideKernel outside(context.me);
  const auto known = check.acquired.find(epoch & ~(kEpochsAtOnce - 1));
  return known != check.acquired.end() && epoch < known->second;
}

bool in_overlap(const Context& context, Record record) {
  const uint32_t epoch = epoch_of(record);
  return context.global && epoch >= context.high && epoch < context.check.launch->first_epoch;
}

void add_reader(Readers& readers, const BlockCheck& check, Record record) {
  if (readers.epoch != check.epoch) {
    std::memset(&readers, 0, sizeof readers);
    readers.epoch = check.epoch;
  }
  uint32_t& entry = readers.of_agent[agent_of(record)];
  const uint32_t thread = static_cast<uint32_t>(thread_of(record));
  const bool several = entry != 0 && ((entry & 0x3ff) != thread || (entry & 0x400));
  entry = (clock_of(record) + 1) << 11 | (several ? 0x400u : 0u) | thread;
}

bool readers_ordered(const Context& context, const Readers& readers) {
  if (readers.epoch != context.check.epoch) return true;
  const int warp = context.me.warp->index;
  for (int agent = 0; agent < kAgents; ++agent) {
    const uint32_t entry = readers.of_agent[agent];
    if (entry == 0 || (agent == warp && (entry & 0x7ff) == static_cast<uint32_t>(context.me.index))) continue;
    const uint32_t clock = (entry >> 11) - 1;
    if (clock >= (agent == warp ? context.check.synced[warp] : context.check.known[warp][agent])) return false;
  }
  return true;
}

Verdict slow_read(const Context& context, Record write, Record& read, size_t offset) {
  if (write == kClosed) return Verdict::kBarrier;
  if (epoch_of(write) < context.low) return Verdict::kUninitialised;
  if (write & kInFlight) return Verdict::kInFlight;
  if (in_overlap(context, write)) return Verdict::kOverlap;
  if (!ordered(context, write)) return Verdict::kAfterWrite;
  const uint32_t epoch = epoch_of(read);
  const BlockCheck& check = context.check;
  if ((read & kReading) && epoch >= context.low) return Verdict::kRight;  // that is what matters
  Readers* readers = context.global ? nullptr : check.readers + offset / 16;
  if (epoch == check.epoch) {
    if (read & kMany) {
      if (readers) add_reader(*readers, check, context.mine);
    } else if (ordered(context, read)) {
      read = context.mine;
    } else {
      if (readers) {
        add_reader(*readers, check, read);
        add_reader(*readers, check, context.mine);
      }
      read = static_cast<Record>(epoch) << 32 | kMany;
    }
  } else if (!context.global || epoch < check.launch->first_epoch) {
    read = context.mine;
  } else if (epoch != check.launch->first_epoch) {
    // A block of this launch read it: this one earlier, or another.
    read = own_epoch(check, epoch) ? context.mine : static_cast<Record>(check.launch->first_epoch) << 32 | kMany;
  }
  return Verdict::kRight;
}

Verdict slow_write(const Context& context, Record& write, Record& read, size_t offset, bool atomic) {
  const BlockCheck& check = context.check;
  if (write == kClosed) return Verdict::kBarrier;
  if (epoch_of(write) >= context.low) {
    if (write & kInFlight) return Verdict::kInFlight;
    if (in_overlap(context, write)) return Verdict::kOverlap;
    if (!(atomic && (write & kAtomic)) && !ordered(context, write)) return Verdict::kAfterWrite;
  } else if (atomic) {
    return Verdict::kUninitialised;
  }
  const uint32_t epoch = epoch_of(read);
  if (epoch >= context.low) {
    if (read & kReading) return Verdict::kStillRead;
    if (in_overlap(context, read)) return Verdict::kOverlap;
    if (context.global && epoch == check.launch->first_epoch) return Verdict::kAfterRead;
    if (epoch == check.epoch && (read & kMany)) {
      // In device memory single readers are not kept: what barriers other than the block's order is believed.
      if (context.global ? !check.clocks_used : !readers_ordered(context, check.readers[offset / 16]))
        return Verdict::kAfterRead;
    } else if (!ordered(context, read)) {
      return Verdict::kAfterRead;
    }
  }
  write = atomic ? context.mine | kAtomic : context.mine;
  read = 0;
  return Verdict::kRight;
}

// Decides about bytes that all have these two records, and changes them.
template <Access kAccess>
EMULATED_INSIDE Verdict decide(const Context& context, Record& write, Record& read, size_t offset) {
  const bool mine_read = ((read ^ context.mine) & kWithoutClock) == 0;
  const bool mine_write = ((write ^ context.mine) & kWithoutClock) == 0;
  const bool alone = (epoch_of(read) < context.high && !(read & kReading)) || mine_read;
  if constexpr (kAccess == Access::kRead) {
    const bool written =
        (epoch_of(write) - context.low < context.high - context.low && !(write & kInFlight)) || mine_write;
    if (written && alone) [[likely]] {
      read = context.mine;
      return Verdict::kRight;
    }
    // Read by several blocks, as weights are.
    if (written && read == (static_cast<Record>(context.check.launch->first_epoch) << 32 | kMany))
      return Verdict::kRight;
    return slow_read(context, write, read, offset);
  } else {
    const bool free = (epoch_of(write) < context.high && !(write & kInFlight)) || mine_write;
    if (kAccess == Access::kWrite && free && alone) [[likely]] {
      write = context.mine;
      read = 0;
      return Verdict::kRight;
    }
    return slow_write(context, write, read, offset, kAccess == Access::kAtomic);
  }
}

std::string who(const Context& context, Record record) {
  const uint32_t epoch = epoch_of(record);
  if (record & kMany)
    return epoch == context.check.epoch ? "several threads of the block" : "several blocks of this launch";
  std::string name = format("thread %d", thread_of(record));
  if (record & kCopyUnit) name = "a copy of " + name;
  if (context.global && epoch != context.check.epoch && !own_epoch(context.check, epoch)) name += " of another block";
  return name;
}

std::string where(int32_t site) {
  const void* address = unpacked_site(site);
  return address ? " (" + place_of(address) + ")" : "";
}

const char* verb(Access access) {
  return access == Access::kRead ? "reads" : access == Access::kWrite ? "writes" : "atomically changes";
}

[[noreturn]] __attribute__((noinline)) void report(const Context& context, Verdict verdict, size_t offset, int bytes,
                                                   Access access, const void* site) {
  context.me.outside = true;
  const Shadow& shadow = context.shadow;
  const std::string what = context.global ? format("%s %d bytes at %p", verb(access), bytes,
                                                   static_cast<const void*>(shadow.memory + offset))
                                          : format("%s %d bytes at the shared offset %zu", verb(access), bytes, offset);
  const std::string writer = who(context, shadow.write_of(offset) & ~kInFlight) + where(shadow.writers[offset / 4]);
  const std::string reader = who(context, shadow.read_of(offset)) + where(shadow.readers[offset / 4]);
  switch (verdict) {
    case Verdict::kUninitialised: fail(site, "%s, which was never written", what.c_str());
    case Verdict::kInFlight:
      fail(site, "%s, where an asynchronous copy of %s has not been waited for", what.c_str(), writer.c_str());
    case Verdict::kAfterWrite: fail(site, "%s, which %s wrote: nothing orders the two", what.c_str(), writer.c_str());
    case Verdict::kAfterRead: fail(site, "%s, which %s read: nothing orders the two", what.c_str(), reader.c_str());
    case Verdict::kOverlap:
      fail(site, "%s, which the previous kernel may still use: wait_for_previous_kernel comes first", what.c_str());
    case Verdict::kStillRead:
      fail(site, "%s, which a store of the copy unit still reads: %s", what.c_str(), reader.c_str());
    case Verdict::kBarrier: fail(site, "%s, where a barrier lies", what.c_str());
    case Verdict::kRight: break;
  }
  __builtin_unreachable();
}

typedef Record FourRecords __attribute__((vector_size(32), aligned(8), may_alias));

template <int kWords>
EMULATED_INSIDE bool all_equal(const Record* records) {
  if constexpr (kWords == 2) return records[0] == records[1];
  const Record first = records[0];
  const FourRecords all = {first, first, first, first};
  const FourRecords different = *reinterpret_cast<const FourRecords*>(records) ^ all;
  return (different[0] | different[1] | different[2] | different[3]) == 0;
}

template <int kWords>
EMULATED_INSIDE void set_all(Record* records, Record value) {
  if constexpr (kWords == 4) {
    const FourRecords all = {value, value, value, value};
    *reinterpret_cast<FourRecords*>(records) = all;
  } else {
    for (int i = 0; i < kWords; ++i) records[i] = value;
  }
}

template <Access kAccess>
EMULATED_INSIDE void check_byte(const Context& context, size_t offset, int whole, const void* site) {
  const Shadow& shadow = context.shadow;
  const Verdict verdict = decide<kAccess>(context, shadow.byte_writes[offset], shadow.byte_reads[offset], offset);
  if (verdict != Verdict::kRight) [[unlikely]]
    report(context, verdict, offset, whole, kAccess, site);
}

// All of a word that is split. It is made whole again where its bytes have become equal, or where they differ in
// nothing that matters: their writes came before all that may still happen.
template <Access kAccess>
__attribute__((noinline)) void check_split_word(const Context& context, size_t word, int whole, const void* site) {
  const Shadow& shadow = context.shadow;
  bool past = true, equal = true;
  for (size_t i = 4 * word; i < 4 * word + 4; ++i) {
    check_byte<kAccess>(context, i, whole, site);
    past = past && epoch_of(shadow.byte_writes[i]) < context.high;
    equal = equal && shadow.byte_writes[i] == shadow.byte_writes[4 * word];
    if (shadow.byte_reads[i] != shadow.byte_reads[4 * word]) return;
  }
  if (!past && !equal) return;
  shadow.reads[word] = shadow.byte_reads[4 * word];
  shadow.writes[word] = shadow.byte_writes[4 * word];
}

// Some bytes of a word.
template <Access kAccess>
EMULATED_INSIDE void check_part(const Context& context, size_t offset, int bytes, int whole, const void* site) {
  const Shadow& shadow = context.shadow;
  const size_t word = offset / 4;
  if (shadow.writes[word] != kSplit) {
    Record write = shadow.writes[word], read = shadow.reads[word];
    const Verdict verdict = decide<kAccess>(context, write, read, offset);
    if (verdict != Verdict::kRight) [[unlikely]]
      report(context, verdict, offset, whole, kAccess, site);
    if (write == shadow.writes[word] && read == shadow.reads[word]) return;
    shadow.split(word);
    for (size_t i = offset; i < offset + static_cast<size_t>(bytes); ++i)
      shadow.byte_writes[i] = write, shadow.byte_reads[i] = read;
    return;
  }
  for (int i = 0; i < bytes; ++i) check_byte<kAccess>(context, offset + static_cast<size_t>(i), whole, site);
}

// The bytes of an access. Words with equal records are decided about together.
template <int kBytes, Access kAccess>
EMULATED_INSIDE void check_bytes(const Context& context, size_t offset, const void* site) {
  const Shadow& shadow = context.shadow;
  if constexpr (kBytes < 4) {
    check_part<kAccess>(context, offset, kBytes, kBytes, site);
    return;
  } else {
    constexpr int kWords = kBytes / 4;
    const size_t word = offset / 4;
    if (offset % 4 != 0) [[unlikely]] {
      for (int i = 0; i < kBytes; ++i) check_part<kAccess>(context, offset + static_cast<size_t>(i), 1, kBytes, site);
      return;
    }
    Record write = shadow.writes[word], read = shadow.reads[word];
    bool together = write != kSplit;
    if constexpr (kWords > 1)
      together = together && all_equal<kWords>(shadow.writes + word) && all_equal<kWords>(shadow.reads + word);
    if (together) [[likely]] {
      const Verdict verdict = decide<kAccess>(context, write, read, offset);
      if (verdict != Verdict::kRight) [[unlikely]]
        report(context, verdict, offset, kBytes, kAccess, site);
      set_all<kWords>(shadow.reads + word, read);
      if constexpr (kAccess != Access::kRead) set_all<kWords>(shadow.writes + word, write);
      return;
    }
    for (size_t i = word; i < word + kWords; ++i) {
      if (shadow.writes[i] == kSplit) {
        check_split_word<kAccess>(context, i, kBytes, site);
        continue;
      }
      const Verdict verdict = decide<kAccess>(context, shadow.writes[i], shadow.reads[i], 4 * i);
      if (verdict != Verdict::kRight) [[unlikely]]
        report(context, verdict, 4 * i, kBytes, kAccess, site);
    }
  }
}

template <int kBytes, Access kAccess>
EMULATED_INSIDE void check_and_sign(const Context& context, size_t offset, const void* site) {
  check_bytes<kBytes, kAccess>(context, offset, site);
  int32_t* signs = kAccess == Access::kRead ? context.shadow.readers : context.shadow.writers;
  const int32_t sign = packed_site(site);
  for (size_t word = offset / 4; word <= (offset + kBytes - 1) / 4; ++word) signs[word] = sign;
}

[[noreturn]] __attribute__((noinline)) void report_outside(const unsigned char* at, int bytes, Access access,
                                                           const void* site) {
  current->outside = true;
  std::string place = describe_address(at);
  if (place.empty()) place = describe_address(at + bytes - 1);
  fail(site, "%s %d bytes at %p, %s", verb(access), bytes, static_cast<const void*>(at), place.c_str());
}

// Memory that is neither shared nor the device's.
__attribute__((noinline)) void check_other(Thread& me, const unsigned char* at, int bytes, Access access,
                                           const void* site) {
  if (static_cast<size_t>(at - me.stack) < kStackStride) return;
  const Block& block = *me.block;
  const OutsideKernel outside(me);
  const int owner = stack_owner(block, at);
  if (owner >= 0)
    fail(site, "%s %d bytes at %p, a variable of thread %d", verb(access), bytes, static_cast<const void*>(at), owner);
  const auto* args = static_cast<const unsigned char*>(block.launch->args);
  const bool reads = access == Access::kRead;
  if (reads && at >= args && at + bytes <= args + block.launch->args_bytes) return;
  if (reads && is_constant(at)) return;
  if (at < block.arena && block.arena - at <= 65536)
    fail(site, "%s %d bytes %zu bytes before the start of shared memory", verb(access), bytes,
         static_cast<size_t>(block.arena - at));
  report_outside(at, bytes, access, site);
}

[[noreturn]] __attribute__((noinline)) void report_beyond(const Block& block, size_t offset, int bytes, Access access,
                                                          const void* site) {
  fail(site, "%s %d bytes at the shared offset %zu, beyond the %u bytes of shared memory", verb(access), bytes, offset,
       block.shared_bytes);
}

}  // namespace

namespace {

// The usual case, whole words with equal records that nobody else touches: true if that was it.
template <int kBytes, Access kAccess>
EMULATED_INSIDE bool check_quickly(const Shadow& shadow, size_t offset, uint32_t low, uint32_t high, Record mine,
                                   Record several, const void* site) {
  if constexpr (kBytes < 4 || kAccess == Access::kAtomic) return false;
  constexpr int kWords = kBytes < 4 ? 1 : kBytes / 4;
  const size_t word = offset / 4;
  Record *writes = shadow.writes + word, *reads = shadow.reads + word;
  const Record write = writes[0], read = reads[0];
  const bool mine_read = ((read ^ mine) & kWithoutClock) == 0, mine_write = ((write ^ mine) & kWithoutClock) == 0;
  const bool alone = (epoch_of(read) < high && !(read & kReading)) || mine_read;
  const uint32_t least = kAccess == Access::kRead ? low : 0;
  const bool written = (epoch_of(write) - least < high - least && !(write & kInFlight)) || mine_write;
  if (!written || offset % 4 != 0) [[unlikely]]
    return false;
  if constexpr (kWords > 1)
    if (!all_equal<kWords>(writes) || !all_equal<kWords>(reads)) [[unlikely]]
      return false;
  int32_t* signs = (kAccess == Access::kRead ? shadow.readers : shadow.writers) + word;
  if (!alone) return kAccess == Access::kRead && read == several;
  const int32_t sign = packed_site(site);
  for (int i = 0; i < kWords; ++i) signs[i] = sign;
  set_all<kWords>(reads, kAccess == Access::kRead ? mine : 0);
  if constexpr (kAccess != Access::kRead) set_all<kWords>(writes, mine);
  return true;
}

template <int kBytes, Access kAccess>
__attribute__((noinline)) void check_shared_slowly(Thread& me, size_t offset, const void* site) {
  check_and_sign<kBytes, kAccess>(context_of(me, false), offset, site);
}

template <int kBytes, Access kAccess>
__attribute__((noinline)) void check_global_slowly(Thread& me, const void* at, size_t offset, const void* site) {
  const PageRange range = me.block->check->device->pages[offset / kPage];
  if (offset % kPage < range.begin || offset % kPage + kBytes > range.end) {
    // An access that is not aligned may reach into the next page.
    const OutsideKernel outside(me);
    const bool inside = offset % kPage + kBytes > kPage && memory_of_device(me.block->device).holds(at, kBytes);
    if (!inside) report_outside(static_cast<const unsigned char*>(at), kBytes, kAccess, site);
  }
  check_and_sign<kBytes, kAccess>(context_of(me, true), offset, site);
  if constexpr (kAccess == Access::kAtomic) synchronise_blocks(me, at);
}

}  // namespace

template <int kBytes, Access kAccess>
void check_access(Thread& me, const void* at, const void* site) {
  const auto* address = static_cast<const unsigned char*>(at);
  const Block& block = *me.block;
  const BlockCheck& check = *block.check;
  const Record mine = check.stamp[me.warp->index] | static_cast<Record>(me.index);
  if (const auto offset = static_cast<size_t>(address - block.arena); offset < kArenaBytes) {
    if (offset + kBytes > block.shared_bytes) [[unlikely]]
      report_beyond(block, offset, kBytes, kAccess, site);
    if (!check_quickly<kBytes, kAccess>(check.shared, offset, check.first_epoch, check.epoch, mine, ~Record{0}, site))
      check_shared_slowly<kBytes, kAccess>(me, offset, site);
    return;
  }
  const DeviceShadow& device = *check.device;
  const auto offset = static_cast<size_t>(address - device.shadow.memory);
  if (!device.pages || offset >= DeviceMemory::kSpace) [[unlikely]] {
    check_other(me, address, kBytes, kAccess, site);
    return;
  }
  const PageRange range = device.pages[offset / kPage];
  const LaunchCheck& launch = *check.launch;
  if (offset % kPage >= range.begin && offset % kPage + kBytes <= range.end && launch.previous_epoch == 0) [[likely]] {
    const Record several = static_cast<Record>(launch.first_epoch) << 32 | kMany;
    if (check_quickly<kBytes, kAccess>(device.shadow, offset, 1, launch.first_epoch, mine, several, site)) return;
  }
  check_global_slowly<kBytes, kAccess>(me, at, offset, site);
}

#define EMULATED_INSTANTIATE(bytes)                                                    \
  template void check_access<bytes, Access::kRead>(Thread&, const void*, const void*); \
  template void check_access<bytes, Access::kWrite>(Thread&, const void*, const void*);
EMULATED_INSTANTIATE(1)
EMULATED_INSTANTIATE(2)
EMULATED_INSTANTIATE(4)
EMULATED_INSTANTIATE(8)
EMULATED_INSTANTIATE(16)
template void check_access<4, Access::kAtomic>(Thread&, const void*, const void*);

void check_range(Thread& me, const void* at, size_t bytes, Access access, const void* site) {
  const auto* address = static_cast<const unsigned char*>(at);
  size_t done = 0;
  for (; done + 16 <= bytes; done += 16)
    access == Access::kRead ? check_access<16, Access::kRead>(me, address + done, site)
                            : check_access<16, Access::kWrite>(me, address + done, site);
  for (; done < bytes; ++done)
    access == Access::kRead ? check_access<1, Access::kRead>(me, address + done, site)
                            : check_access<1, Access::kWrite>(me, address + done, site);
}

template <Access kAccess>
void check_shared16(Thread& me, uint32_t offset, const void* site) {
  check_and_sign<16, kAccess>(context_of(me, false), offset, site);
}
template void check_shared16<Access::kRead>(Thread&, uint32_t, const void*);
template void check_shared16<Access::kWrite>(Thread&, uint32_t, const void*);

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
      const std::string line = where(shared.writers[i / 4]);
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
