#include "emulator/access.h"

#ifdef EMBEDCORE_EMULATED_CHECKED

#include <algorithm>
#include <string>

#include "emulator/memory.h"
#include "emulator/order.h"
#include "emulator/report.h"

namespace embedcore::cuda::emulator {

namespace {

constexpr size_t kPage = 4096;

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

}  // namespace embedcore::cuda::emulator

#endif
