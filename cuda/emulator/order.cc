#include "emulator/order.h"

#ifdef EMBEDCORE_EMULATED_CHECKED

#include <cstring>

#include "emulator/report.h"

namespace embedcore::cuda::emulator {

namespace {

int agent_of(Record record) { return record & kCopyUnit ? kCopyAgent : thread_of(record) / 32; }

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

}  // namespace

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

namespace {

std::string who(const Context& context, Record record) {
  const uint32_t epoch = epoch_of(record);
  if (record & kMany)
    return epoch == context.check.epoch ? "several threads of the block" : "several blocks of this launch";
  std::string name = format("thread %d", thread_of(record));
  if (record & kCopyUnit) name = "a copy of " + name;
  if (context.global && epoch != context.check.epoch && !own_epoch(context.check, epoch)) name += " of another block";
  return name;
}

}  // namespace

std::string place_in_brackets(int32_t site) {
  const void* address = unpacked_site(site);
  return address ? " (" + place_of(address) + ")" : "";
}

const char* verb(Access access) {
  return access == Access::kRead ? "reads" : access == Access::kWrite ? "writes" : "atomically changes";
}

void report(const Context& context, Verdict verdict, size_t offset, int bytes, Access access, const void* site) {
  context.me.outside = true;
  const Shadow& shadow = context.shadow;
  const std::string what = context.global ? format("%s %d bytes at %p", verb(access), bytes,
                                                   static_cast<const void*>(shadow.memory + offset))
                                          : format("%s %d bytes at the shared offset %zu", verb(access), bytes, offset);
  const std::string writer =
      who(context, shadow.write_of(offset) & ~kInFlight) + place_in_brackets(shadow.writers[offset / 4]);
  const std::string reader = who(context, shadow.read_of(offset)) + place_in_brackets(shadow.readers[offset / 4]);
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

}  // namespace embedcore::cuda::emulator

#endif
