#include "emulator/shadow.h"

#ifdef EMBEDCORE_EMULATED_CHECKED

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include "emulator/memory.h"

namespace embedcore::cuda::emulator {

namespace {

constexpr size_t kPage = 4096;

template <typename T>
T* reserve(size_t count) {
  void* at =
      ::mmap(nullptr, count * sizeof(T), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return at == MAP_FAILED ? nullptr : static_cast<T*>(at);
}

bool reserve_shadow(Shadow& shadow, const unsigned char* memory, size_t bytes) {
  const size_t words = bytes / 4;
  shadow = {memory,
            reserve<Record>(words),
            reserve<Record>(words),
            reserve<Record>(bytes),
            reserve<Record>(bytes),
            reserve<int32_t>(words),
            reserve<int32_t>(words)};
  return shadow.writes && shadow.reads && shadow.byte_writes && shadow.byte_reads && shadow.writers && shadow.readers;
}

DeviceShadow& shadow_of_device(int device) {
  static auto* shadows = new DeviceShadow[kMaxDevices];
  DeviceShadow& result = shadows[device];
  if (!result.pages && memory_of_device(device).base()) {
    result.pages = reserve<PageRange>(DeviceMemory::kSpace / kPage);
    if (!result.pages || !reserve_shadow(result.shadow, memory_of_device(device).base(), DeviceMemory::kSpace)) {
      std::fprintf(stderr, "emulator: no address space for the checked build\n");
      std::abort();
    }
  }
  return result;
}

size_t offset_of(const DeviceShadow& shadow, const void* memory) {
  return static_cast<size_t>(static_cast<const unsigned char*>(memory) - shadow.shadow.memory);
}

constexpr uint32_t kLastEpoch = 0x70000000u;    // records stay positive as signed numbers
constexpr Record kOfTheHost = Record{1} << 32;  // epoch 1
std::atomic<uint32_t> next_epoch{kEpochsAtOnce};

// The shadows of all arenas.
struct Arenas {
  std::mutex mutex;
  std::vector<BlockCheck*> all;  // guarded by mutex
};
Arenas& arenas() {
  static auto* instance = new Arenas;
  return *instance;
}

// Bytes that the host wrote, or of which it does not matter who did.
void set_host(const Shadow& shadow, size_t offset, size_t bytes, bool written) {
  const Record record = written ? kOfTheHost : 0;
  for (const size_t end = offset + bytes; offset < end;) {
    if (offset % 4 == 0 && offset + 4 <= end) {
      shadow.writes[offset / 4] = record;
      shadow.reads[offset / 4] = 0;
      offset += 4;
    } else {
      shadow.split(offset / 4);
      shadow.byte_writes[offset] = record;
      shadow.byte_reads[offset] = 0;
      ++offset;
    }
  }
}

// Epochs begin anew: all that was written becomes the host's.
void restart_epochs() {
  for (int device = 0; device < kMaxDevices; ++device)
    memory_of_device(device).for_each([&](const void* memory, size_t bytes) {
      const DeviceShadow& shadow = shadow_of_device(device);
      const size_t begin = offset_of(shadow, memory);
      for (size_t i = begin; i < begin + bytes; ++i) set_host(shadow.shadow, i, 1, shadow.shadow.write_of(i) != 0);
    });
  std::lock_guard lock(arenas().mutex);
  for (BlockCheck* check : arenas().all) {
    set_host(check->shared, 0, kArenaBytes, false);
    std::memset(check->readers, 0, kArenaBytes / 16 * sizeof(Readers));
  }
  next_epoch = kEpochsAtOnce;
}

uint32_t take_epochs(BlockCheck& check) {
  const uint32_t first = next_epoch.fetch_add(kEpochsAtOnce);
  check.chunks.push_back(first);
  return first;
}

void stamp(BlockCheck& check, int warp) {
  check.stamp[warp] = static_cast<Record>(check.epoch) << 32 | static_cast<Record>(check.clock[warp]) << kClockShift;
}

uint32_t advance(BlockCheck& check, int agent) {
  if (check.clock[agent] >= kClockMask - 1)
    fail(nullptr, "there are more synchronisations between two barriers of the block than the checker can count");
  ++check.clock[agent];
  if (agent < kMaxWarps) stamp(check, agent);
  return check.clock[agent];
}

}  // namespace

void begin_launch_check(LaunchCheck& launch) {
  if (next_epoch > kLastEpoch) {
    restart_epochs();
    launch.previous_epoch = 0;
  }
  launch.first_epoch = next_epoch.fetch_add(kEpochsAtOnce);  // of no block
}

void host_wrote(int device, const void* memory, size_t bytes, const void* from) {
  const DeviceShadow& shadow = shadow_of_device(device);
  const size_t to = offset_of(shadow, memory);
  if (!from) {
    set_host(shadow.shadow, to, bytes, true);
    return;
  }
  std::vector<bool> written(bytes);  // the two may overlap
  const size_t source = offset_of(shadow, from);
  for (size_t i = 0; i < bytes; ++i) written[i] = shadow.shadow.write_of(source + i) != 0;
  for (size_t i = 0; i < bytes;) {
    size_t end = i + 1;
    while (end < bytes && written[end] == written[i]) ++end;
    set_host(shadow.shadow, to + i, end - i, written[i]);
    i = end;
  }
}

void add_shadow(int device, const void* memory, size_t bytes) {
  const DeviceShadow& shadow = shadow_of_device(device);
  size_t at = offset_of(shadow, memory);
  for (const size_t end = at + bytes; at < end;) {
    const size_t page = at / kPage, until = std::min(end, (page + 1) * kPage);
    shadow.pages[page] = {static_cast<uint16_t>(at % kPage), static_cast<uint16_t>(until - page * kPage)};
    at = until;
  }
}

void remove_shadow(int device, const void* memory, size_t bytes) {
  const DeviceShadow& shadow = shadow_of_device(device);
  const size_t first = offset_of(shadow, memory) / kPage, end = (offset_of(shadow, memory) + bytes - 1) / kPage + 1;
  // Allocations share no page.
  std::memset(shadow.pages + first, 0, (end - first) * sizeof(PageRange));
  const size_t records = (end - first) * kPage * sizeof(Record);
  ::madvise(shadow.shadow.writes + first * kPage / 4, records / 4, MADV_DONTNEED);
  ::madvise(shadow.shadow.reads + first * kPage / 4, records / 4, MADV_DONTNEED);
  ::madvise(shadow.shadow.byte_writes + first * kPage, records, MADV_DONTNEED);
  ::madvise(shadow.shadow.byte_reads + first * kPage, records, MADV_DONTNEED);
}

BlockCheck* make_block_check(const unsigned char* arena, size_t arena_bytes) {
  auto* check = new (std::nothrow) BlockCheck;
  if (!check) return nullptr;
  check->readers = reserve<Readers>(arena_bytes / 16);
  if (!check->readers || !reserve_shadow(check->shared, arena, arena_bytes)) return nullptr;
  std::lock_guard lock(arenas().mutex);
  arenas().all.push_back(check);
  return check;
}

void begin_block_check(Block& block) {
  BlockCheck& check = *block.check;
  check.device = &shadow_of_device(block.device);
  check.launch = block.launch->check;
  check.chunks.clear();
  check.epoch = check.first_epoch = take_epochs(check);
  check.fence_epoch = 0;
  std::memset(check.clock, 0, sizeof check.clock);
  for (int warp = 0; warp < block.warp_count; ++warp) stamp(check, warp);
  std::memset(check.synced, 0, sizeof check.synced);
  std::memset(check.known, 0, sizeof check.known);
  std::memset(check.barriers, 0, sizeof check.barriers);
  check.clocks_used = false;
  check.acquired.clear();
  std::memset(check.waited, 0, sizeof check.waited);
}

void block_synced(Block& block) {
  const OutsideKernel outside(*current);
  BlockCheck& check = *block.check;
  ++check.epoch;
  if (check.epoch % kEpochsAtOnce == 0) check.epoch = take_epochs(check);
  // Clocks go on: barriers that are passed later may hold clocks of now.
  for (int warp = 0; warp < block.warp_count; ++warp) {
    check.synced[warp] = check.clock[warp];
    stamp(check, warp);
  }
  // Whoever met a thread that waited for the previous kernel has waited too.
  bool waited = false;
  for (int t = 0; t < block.thread_count; ++t) waited |= check.waited[t];
  if (waited) std::memset(check.waited, 1, sizeof check.waited);
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

void copies_arrived_at(Block& block, Clocks& barrier) {
  block.check->clocks_used = true;
  barrier[kCopyAgent] = advance(*block.check, kCopyAgent);
}

void close_words(Block& block, uint32_t offset, int words) {
  for (uint32_t word = offset / 4; words > 0; ++word, --words) block.check->shared.writes[word] = kClosed;
}

void open_words(Block& block, uint32_t offset, int words) {
  for (uint32_t word = offset / 4; words > 0; ++word, --words) {
    block.check->shared.writes[word] = 0;
    block.check->shared.reads[word] = 0;
  }
}

Record fence_record(Thread& me) {
  BlockCheck& check = *me.block->check;
  const Record clock = advance(check, me.warp->index);
  return static_cast<Record>(check.epoch) << 32 | clock << kClockShift | static_cast<Record>(me.index);
}

bool own_epoch(const BlockCheck& check, uint32_t epoch) {
  const uint32_t chunk = epoch & ~(kEpochsAtOnce - 1);
  for (size_t i = check.chunks.size(); i-- > 0;)
    if (check.chunks[i] == chunk) return true;
  return false;
}

void fenced(Thread& me) { me.block->check->fence_epoch = me.block->check->epoch; }

void synchronise_blocks(Thread& me, const void* word) {
  const OutsideKernel outside(me);
  BlockCheck& check = *me.block->check;
  LaunchCheck& launch = *check.launch;
  std::lock_guard lock(launch.mutex);
  auto& published = launch.published[word];
  for (const auto& [chunk, end] : published) check.acquired[chunk] = std::max(check.acquired[chunk], end);
  if (check.fence_epoch == 0) return;
  for (const uint32_t chunk : check.chunks)
    if (chunk <= check.fence_epoch) published[chunk] = std::min(check.fence_epoch + 1, chunk + kEpochsAtOnce);
  for (const auto& [chunk, end] : check.acquired) published[chunk] = std::max(published[chunk], end);
}

const void* unpacked_site(int32_t site) {
  return site ? reinterpret_cast<const char*>(&embedcore_emulator_switch) + site : nullptr;
}

}  // namespace embedcore::cuda::emulator

#endif
