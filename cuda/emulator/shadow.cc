#include "emulator/shadow.h"

#ifdef EMBEDCORE_EMULATED_CHECKED

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>

#include "emulator/memory.h"
#include "emulator/report.h"

namespace embedcore::cuda::emulator {

namespace {

constexpr size_t kPage = 4096;

// Bytes of a page that are allocated.
struct PageRange {
  uint16_t begin, end;
};

struct DeviceShadow {
  Shadow shadow;
  PageRange* pages = nullptr;
};

template <typename T>
T* reserve(size_t count) {
  void* at =
      ::mmap(nullptr, count * sizeof(T), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return at == MAP_FAILED ? nullptr : static_cast<T*>(at);
}

DeviceShadow& shadow_of_device(int device) {
  static auto* shadows = new DeviceShadow[kMaxDevices];
  DeviceShadow& result = shadows[device];
  if (!result.pages && memory_of_device(device).base()) {
    constexpr size_t kSpace = DeviceMemory::kSpace;
    result.shadow.memory = memory_of_device(device).base();
    result.shadow.cells = reserve<Cell>(kSpace);
    result.shadow.writers = reserve<int32_t>(kSpace / 4);
    result.shadow.readers = reserve<int32_t>(kSpace / 4);
    result.pages = reserve<PageRange>(kSpace / kPage);
    if (!result.shadow.cells || !result.shadow.writers || !result.shadow.readers || !result.pages) {
      std::fprintf(stderr, "emulator: no address space for the checked build\n");
      std::abort();
    }
  }
  return result;
}

std::atomic<uint32_t> next_epoch{kEpochsAtOnce};  // epoch 1 is the host's

// Sites are kept as distances from a function of this library.
const char* site_base() { return reinterpret_cast<const char*>(&embedcore_emulator_switch); }
int32_t packed_site(const void* site) {
  return site ? static_cast<int32_t>(static_cast<const char*>(site) - site_base()) : 0;
}

std::string place_of_packed(int32_t site) { return site ? place_of(site_base() + site) : "an unknown line"; }

uint32_t take_epochs(BlockCheck& check) {
  const uint32_t first = next_epoch.fetch_add(kEpochsAtOnce);
  check.chunks.push_back(first);
  return first;
}

bool own_epoch(const BlockCheck& check, uint32_t epoch) {
  const uint32_t chunk = epoch & ~(kEpochsAtOnce - 1);
  for (size_t i = check.chunks.size(); i-- > 0;)
    if (check.chunks[i] == chunk) return true;
  return false;
}

uint32_t advance(BlockCheck& check, int agent) {
  if (check.clock[agent] >= kClockMask - 1) fail(nullptr, "more synchronisations in one block than the checker counts");
  return ++check.clock[agent];
}

int agent_of(Record record) { return record & kCopyUnit ? kCopyAgent : thread_of(record) / 32; }

// What is wrong with an access.
enum class Verdict { kRight, kUninitialised, kInFlight, kAfterWrite, kAfterRead, kOverlap };

// One access, and what decides about it.
struct Context {
  Thread& me;
  BlockCheck& check;
  bool global;
  uint32_t low, high;  // records of epochs in [low, high) came before
  Record mine;
};

Context context_of(Thread& me, bool global) {
  BlockCheck& check = *me.block->check;
  const int warp = me.warp->index;
  const Record mine = static_cast<Record>(check.epoch) << 32 | static_cast<Record>(check.clock[warp]) << kClockShift |
                      static_cast<Record>(me.index);
  if (!global) return {me, check, false, check.first_epoch, check.epoch, mine};
  const LaunchCheck& launch = *check.launch;
  const bool overlaps = launch.previous_epoch != 0 && !check.waited[me.index];
  return {me, check, true, 1, overlaps ? launch.previous_epoch : launch.first_epoch, mine};
}

// Whether the access of a record came before this one.
bool ordered(const Context& context, Record record) {
  const uint32_t epoch = epoch_of(record);
  if (epoch == context.check.epoch) {
    if (thread_of(record) == context.me.index && !(record & kCopyUnit)) return true;
    const int agent = agent_of(record), warp = context.me.warp->index;
    if (agent == warp) return clock_of(record) < context.check.synced[warp];
    return clock_of(record) < context.check.known[warp][agent];
  }
  if (!context.global || epoch < context.high) return true;
  if (own_epoch(context.check, epoch)) return true;
  const auto known = context.check.acquired.find(epoch & ~(kEpochsAtOnce - 1));
  return known != context.check.acquired.end() && epoch < known->second;
}

bool in_overlap(const Context& context, Record record) {
  const uint32_t epoch = epoch_of(record);
  return context.global && epoch >= context.high && epoch < context.check.launch->first_epoch;
}

uint32_t reader_entry(Record record) { return (clock_of(record) + 1) << 11 | static_cast<uint32_t>(thread_of(record)); }

void add_reader(Readers& readers, const BlockCheck& check, Record record) {
  if (readers.epoch != check.epoch) {
    std::memset(&readers, 0, sizeof readers);
    readers.epoch = check.epoch;
  }
  uint32_t& entry = readers.of_agent[agent_of(record)];
  const uint32_t mine = reader_entry(record);
  if (entry != 0 && ((entry & 0x3ff) != (mine & 0x3ff) || (entry & 0x400))) {
    entry = mine | 0x400;
  } else {
    entry = mine;
  }
}

bool readers_ordered(const Context& context, const Readers& readers) {
  if (readers.epoch != context.check.epoch) return true;
  const int warp = context.me.warp->index;
  for (int agent = 0; agent < kAgents; ++agent) {
    const uint32_t entry = readers.of_agent[agent];
    if (entry == 0) continue;
    if (agent == warp && (entry & 0x7ff) == static_cast<uint32_t>(context.me.index)) continue;
    const uint32_t clock = (entry >> 11) - 1;
    if (clock >= (agent == warp ? context.check.synced[warp] : context.check.known[warp][agent])) return false;
  }
  return true;
}

Verdict slow_read(const Context& context, Cell& cell, Readers* readers) {
  const Record write = cell.write, read = cell.read;
  if (epoch_of(write) < context.low) return Verdict::kUninitialised;
  if (write & kInFlight) return Verdict::kInFlight;
  if (in_overlap(context, write)) return Verdict::kOverlap;
  if (!ordered(context, write)) return Verdict::kAfterWrite;
  const uint32_t epoch = epoch_of(read);
  const LaunchCheck& launch = *context.check.launch;
  if (epoch == context.check.epoch) {
    if (read & kMany) {
      if (readers) add_reader(*readers, context.check, context.mine);
    } else if (ordered(context, read)) {
      cell.read = context.mine;
    } else {
      cell.read = static_cast<Record>(epoch) << 32 | kMany;
      if (readers) {
        add_reader(*readers, context.check, read);
        add_reader(*readers, context.check, context.mine);
      }
    }
  } else if (!context.global || epoch < launch.first_epoch) {
    cell.read = context.mine;
  } else if (epoch != launch.first_epoch) {
    // A block of this launch read it: this one earlier, or another.
    cell.read = own_epoch(context.check, epoch) ? context.mine : static_cast<Record>(launch.first_epoch) << 32 | kMany;
  }
  return Verdict::kRight;
}

Verdict slow_write(const Context& context, Cell& cell, const Readers* readers, Access access) {
  const Record write = cell.write, read = cell.read;
  if (access == Access::kAtomic && epoch_of(write) < context.low) return Verdict::kUninitialised;
  const bool known = epoch_of(write) >= context.low;
  if (known && (write & kInFlight)) return Verdict::kInFlight;
  if (known && in_overlap(context, write)) return Verdict::kOverlap;
  const bool both_atomic = access == Access::kAtomic && (write & kAtomic);
  if (known && !both_atomic && !ordered(context, write)) return Verdict::kAfterWrite;
  const uint32_t epoch = epoch_of(read);
  if (epoch >= context.low) {
    if (in_overlap(context, read)) return Verdict::kOverlap;
    if (context.global && epoch == context.check.launch->first_epoch) return Verdict::kAfterRead;
    if (epoch == context.check.epoch && (read & kMany)) {
      // In device memory single readers are not kept: what barriers other than the block's order is believed.
      if (readers ? !readers_ordered(context, *readers) : !context.check.clocks_used) return Verdict::kAfterRead;
    } else if (!ordered(context, read)) {
      return Verdict::kAfterRead;
    }
  }
  cell.write = access == Access::kAtomic ? context.mine | kAtomic : context.mine;
  cell.read = 0;
  return Verdict::kRight;
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

[[noreturn]] void report(const Context& context, Verdict verdict, const Cell& cell, const Shadow& shadow, size_t offset,
                         int bytes, Access access, const void* site) {
  const char* does = access == Access::kRead ? "reads" : access == Access::kWrite ? "writes" : "atomically changes";
  const std::string what =
      context.global ? format("%s %d bytes at %p", does, bytes, static_cast<const void*>(shadow.memory + offset))
                     : format("%s %d bytes at the shared offset %zu", does, bytes, offset);
  const int32_t writer = shadow.writers[offset / 4], reader = shadow.readers[offset / 4];
  switch (verdict) {
    case Verdict::kUninitialised: fail(site, "%s, which were never written", what.c_str());
    case Verdict::kInFlight:
      fail(site, "%s, where an asynchronous copy of %s (%s) has not been waited for", what.c_str(),
           who(context, cell.write).c_str(), place_of_packed(writer).c_str());
    case Verdict::kAfterWrite:
      fail(site, "%s, which %s wrote (%s): nothing orders the two", what.c_str(), who(context, cell.write).c_str(),
           place_of_packed(writer).c_str());
    case Verdict::kAfterRead:
      fail(site, "%s, which %s read (%s): nothing orders the two", what.c_str(), who(context, cell.read).c_str(),
           place_of_packed(reader).c_str());
    case Verdict::kOverlap:
      fail(site, "%s, which the previous kernel may still use: wait_for_previous_kernel comes first", what.c_str());
    case Verdict::kRight: break;
  }
  __builtin_unreachable();
}

// All bytes of an access. `readers` is null for device memory.
void check_bytes(const Context& context, const Shadow& shadow, size_t offset, int bytes, Access access,
                 Readers* readers, const void* site) {
  Cell* cells = shadow.cells + offset;
  const Record mine = context.mine;
  const uint32_t low = context.low, span = context.high - context.low;
  constexpr Record kSame = ~(kClockMask << kClockShift);  // epoch, flags and thread
  const int32_t packed = packed_site(site);
  if (access == Access::kRead) {
    for (int i = 0; i < bytes; ++i) {
      Cell& cell = cells[i];
      const Record write = cell.write, read = cell.read;
      const bool written = (epoch_of(write) - low < span && !(write & kInFlight)) || ((write ^ mine) & kSame) == 0;
      const bool alone = epoch_of(read) < context.high || ((read ^ mine) & kSame) == 0;
      if (written && alone) [[likely]] {
        cell.read = mine;
        continue;
      }
      const Verdict verdict = slow_read(context, cell, readers ? readers + (offset + i) / 16 : nullptr);
      if (verdict != Verdict::kRight) report(context, verdict, cell, shadow, offset + i, bytes, access, site);
    }
    for (size_t word = offset / 4; word <= (offset + bytes - 1) / 4; ++word) shadow.readers[word] = packed;
    return;
  }
  for (int i = 0; i < bytes; ++i) {
    Cell& cell = cells[i];
    const Record write = cell.write, read = cell.read;
    const bool written = (epoch_of(write) < context.high && !(write & kInFlight)) || ((write ^ mine) & kSame) == 0;
    const bool alone = epoch_of(read) < context.high || ((read ^ mine) & kSame) == 0;
    if (access == Access::kWrite && written && alone) [[likely]] {
      cell.write = mine;
      cell.read = 0;
      continue;
    }
    const Verdict verdict = slow_write(context, cell, readers ? readers + (offset + i) / 16 : nullptr, access);
    if (verdict != Verdict::kRight) report(context, verdict, cell, shadow, offset + i, bytes, access, site);
  }
  for (size_t word = offset / 4; word <= (offset + bytes - 1) / 4; ++word) shadow.writers[word] = packed;
}

// An atomic operation after fence_device publishes what the block did; one that comes later on the same word knows it.
void synchronise_blocks(BlockCheck& check, const void* word) {
  LaunchCheck& launch = *check.launch;
  std::lock_guard lock(launch.mutex);
  auto& published = launch.published[word];
  for (const auto& [chunk, end] : published) check.acquired[chunk] = std::max(check.acquired[chunk], end);
  if (check.fence_epoch == 0) return;
  for (const uint32_t chunk : check.chunks)
    if (chunk <= check.fence_epoch) published[chunk] = std::min(check.fence_epoch + 1, chunk + kEpochsAtOnce);
  for (const auto& [chunk, end] : check.acquired) published[chunk] = std::max(published[chunk], end);
}

void check_global(Thread& me, size_t offset, int bytes, Access access, const void* site) {
  const DeviceShadow& device = shadow_of_device(me.block->device);
  for (size_t at = offset; at < offset + bytes;) {
    const size_t end = std::min<size_t>(offset + bytes, (at / kPage + 1) * kPage);
    const PageRange range = device.pages[at / kPage];
    const size_t first = at % kPage, last = first + (end - at);
    if (first < range.begin || last > range.end) [[unlikely]] {
      const unsigned char* bad =
          device.shadow.memory + (first < range.begin ? at : std::max(at, at - first + range.end));
      std::string where = describe_address(bad);
      fail(site, "%s %d bytes at %p, %s", access == Access::kRead ? "reads" : "writes", bytes,
           static_cast<const void*>(device.shadow.memory + offset), where.c_str());
    }
    at = end;
  }
  check_bytes(context_of(me, true), device.shadow, offset, bytes, access, nullptr, site);
  if (access == Access::kAtomic) synchronise_blocks(*me.block->check, device.shadow.memory + offset);
}

// Memory that is neither shared nor the device's.
void check_other(Thread& me, const unsigned char* at, int bytes, Access access, const void* site) {
  const Block& block = *me.block;
  const int owner = stack_owner(block, at);
  if (owner == me.index) return;
  if (owner >= 0) fail(site, "touches a variable of thread %d at %p", owner, static_cast<const void*>(at));
  const auto* args = static_cast<const unsigned char*>(block.launch->args);
  const bool reads = access == Access::kRead;
  if (reads && at >= args && at + bytes <= args + block.launch->args_bytes) return;
  if (reads && is_constant(at)) return;
  if (at < block.arena && block.arena - at <= 65536)
    fail(site, "%s %d bytes %zu bytes before the start of shared memory", reads ? "reads" : "writes", bytes,
         static_cast<size_t>(block.arena - at));
  fail(site, "%s %d bytes at %p, %s", reads ? "reads" : "writes", bytes, static_cast<const void*>(at),
       describe_address(at).c_str());
}

struct Arenas {
  std::mutex mutex;
  std::vector<BlockCheck*> all;  // guarded by mutex
};
Arenas& arenas() {
  static auto* instance = new Arenas;
  return *instance;
}

void forget_arenas() {
  std::lock_guard lock(arenas().mutex);
  for (BlockCheck* check : arenas().all) {
    std::memset(check->shared.cells, 0, kArenaBytes * sizeof(Cell));
    std::memset(check->readers, 0, kArenaBytes / 16 * sizeof(Readers));
  }
}

}  // namespace

void begin_launch_check(LaunchCheck& launch) {
  if (next_epoch > 0xf0000000u) {
    // Epochs begin anew: all that was written becomes the host's.
    for (int device = 0; device < kMaxDevices; ++device)
      memory_of_device(device).for_each([&](const void* memory, size_t bytes) {
        Cell* cells = shadow_of_device(device).shadow.cells +
                      (static_cast<const unsigned char*>(memory) - memory_of_device(device).base());
        for (size_t i = 0; i < bytes; ++i) cells[i] = {cells[i].write ? Record{1} << 32 : 0, 0};
      });
    next_epoch = kEpochsAtOnce;
    launch.previous_epoch = 0;
    forget_arenas();
  }
  launch.first_epoch = next_epoch.fetch_add(kEpochsAtOnce);  // of no block
}

void host_wrote(int device, const void* memory, size_t bytes, const void* from) {
  const DeviceShadow& shadow = shadow_of_device(device);
  Cell* to = shadow.shadow.cells + (static_cast<const unsigned char*>(memory) - shadow.shadow.memory);
  const Cell* source =
      from ? shadow.shadow.cells + (static_cast<const unsigned char*>(from) - shadow.shadow.memory) : nullptr;
  const bool downwards = source && source < to;
  for (size_t step = 0; step < bytes; ++step) {
    const size_t i = downwards ? bytes - 1 - step : step;
    to[i] = {!source || source[i].write ? Record{1} << 32 : 0, 0};
  }
}

void add_shadow(int device, const void* memory, size_t bytes) {
  const DeviceShadow& shadow = shadow_of_device(device);
  size_t at = static_cast<size_t>(static_cast<const unsigned char*>(memory) - shadow.shadow.memory);
  for (const size_t end = at + bytes; at < end;) {
    const size_t until = std::min(end, (at / kPage + 1) * kPage);
    shadow.pages[at / kPage] = {static_cast<uint16_t>(at % kPage), static_cast<uint16_t>(until - at / kPage * kPage)};
    at = until;
  }
}

void remove_shadow(int device, const void* memory, size_t bytes) {
  const DeviceShadow& shadow = shadow_of_device(device);
  const size_t begin = static_cast<size_t>(static_cast<const unsigned char*>(memory) - shadow.shadow.memory);
  for (size_t page = begin / kPage; page <= (begin + bytes - 1) / kPage; ++page) {
    shadow.pages[page] = {0, 0};
    // Allocations share no page.
    ::madvise(shadow.shadow.cells + page * kPage, kPage * sizeof(Cell), MADV_DONTNEED);
  }
}

BlockCheck* make_block_check(const unsigned char* arena, size_t arena_bytes) {
  auto* check = new (std::nothrow) BlockCheck;
  if (!check) return nullptr;
  check->shared = {arena, reserve<Cell>(arena_bytes), reserve<int32_t>(arena_bytes / 4),
                   reserve<int32_t>(arena_bytes / 4)};
  check->readers = reserve<Readers>(arena_bytes / 16);
  const Shadow& shared = check->shared;
  if (!shared.cells || !shared.writers || !shared.readers || !check->readers) return nullptr;
  std::lock_guard lock(arenas().mutex);
  arenas().all.push_back(check);
  return check;
}

void begin_block_check(Block& block) {
  BlockCheck& check = *block.check;
  check.launch = block.launch->check;
  check.chunks.clear();
  check.epoch = check.first_epoch = take_epochs(check);
  check.fence_epoch = 0;
  std::memset(check.clock, 0, sizeof check.clock);
  std::memset(check.synced, 0, sizeof check.synced);
  std::memset(check.known, 0, sizeof check.known);
  std::memset(check.barriers, 0, sizeof check.barriers);
  check.clocks_used = false;
  check.acquired.clear();
  std::memset(check.waited, 0, sizeof check.waited);
}

void block_synced(Block& block) {
  BlockCheck& check = *block.check;
  ++check.epoch;
  if (check.epoch % kEpochsAtOnce == 0) check.epoch = take_epochs(check);
  // Clocks go on: barriers that are passed later may hold clocks of now.
  for (int warp = 0; warp < block.warp_count; ++warp) check.synced[warp] = check.clock[warp];
  check.clocks_used = false;
}

void warp_synced(Warp& warp) {
  BlockCheck& check = *warp.threads[0].block->check;
  check.synced[warp.index] = advance(check, warp.index);
}

void arrived_at(Thread& me, Clocks& barrier) {
  BlockCheck& check = *me.block->check;
  const int warp = me.warp->index;
  check.clocks_used = true;
  for (int agent = 0; agent < kAgents; ++agent) barrier[agent] = std::max(barrier[agent], check.known[warp][agent]);
  barrier[warp] = advance(check, warp);
}

void released_by(Block& block, int warp, const Clocks& barrier, bool all_lanes) {
  BlockCheck& check = *block.check;
  for (int agent = 0; agent < kAgents; ++agent)
    check.known[warp][agent] = std::max(check.known[warp][agent], barrier[agent]);
  if (all_lanes) check.synced[warp] = advance(check, warp);
}

void check(Thread& me, const void* at, int bytes, Access access, const void* site) {
  const auto* address = static_cast<const unsigned char*>(at);
  const Block& block = *me.block;
  const auto shared = static_cast<size_t>(address - block.arena);
  if (shared < kArenaBytes) {
    check_shared(me, static_cast<uint32_t>(shared), bytes, access, site);
    return;
  }
  const DeviceMemory& memory = memory_of_device(block.device);
  if (memory.in_range(address)) {
    check_global(me, static_cast<size_t>(address - memory.base()), bytes, access, site);
    return;
  }
  check_other(me, address, bytes, access, site);
}

void check_shared(Thread& me, uint32_t offset, int bytes, Access access, const void* site) {
  const Block& block = *me.block;
  if (offset + static_cast<uint32_t>(bytes) > block.shared_bytes)
    fail(site, "%s %d bytes at the shared offset %u, beyond the %u bytes of shared memory",
         access == Access::kRead ? "reads" : "writes", bytes, offset, block.shared_bytes);
  check_bytes(context_of(me, false), block.check->shared, offset, bytes, access, block.check->readers, site);
}

void copy_issued(Thread& me, const PendingCopy& copy) {
  if (copy.bytes > 0) check(me, copy.from, copy.bytes, Access::kRead, copy.site);
  check_shared(me, copy.to, 16, Access::kWrite, copy.site);
  Cell* cells = me.block->check->shared.cells + copy.to;
  for (int i = 0; i < 16; ++i) cells[i].write |= kInFlight;
}

void copy_arrived(Thread& me, const PendingCopy& copy) {
  // The source may not have been written meanwhile.
  if (copy.bytes > 0) check(me, copy.from, copy.bytes, Access::kRead, copy.site);
  const Record mine = context_of(me, false).mine;
  Cell* cells = me.block->check->shared.cells + copy.to;
  for (int i = 0; i < 16; ++i) cells[i] = {mine, 0};
}

void fenced(Thread& me) { me.block->check->fence_epoch = me.block->check->epoch; }

}  // namespace embedcore::cuda::emulator

#endif
