// The copy unit: boxes of 64 columns between tensors in device memory and shared memory in the 128-byte swizzle. Loads
// happen when nothing else can, in random order; stores are seen by others when the block has ended.
#include <cstring>

#include "emulator/access.h"
#include "emulator/memory.h"
#include "emulator/report.h"
#include "emulator/settings.h"
#include "emulator/sm90.h"
#include "runtime.h"

namespace embedcore::cuda {

namespace {
constexpr uint64_t kMark = 0x656d625f746d6170;
constexpr int kRowBytes = 128;
}  // namespace

Error make_tensor_map(TensorMap* map, const void* memory, int64_t columns, int64_t rows, int64_t stride_bytes,
                      int box_rows) {
  const auto address = reinterpret_cast<uintptr_t>(memory);
  if (address == 0 || address % 16 != 0 || stride_bytes % 16 != 0 || stride_bytes <= 0 || stride_bytes >= 1ll << 40 ||
      columns < 1 || columns > 1ll << 32 || rows < 1 || rows > 1ll << 32 || box_rows < 1 || box_rows > 256)
    return Error::kInvalidValue;
  const emulator::TensorMapContents contents{
      .mark = kMark,
      .memory = static_cast<const unsigned char*>(memory),
      .columns = columns,
      .rows = rows,
      .stride_bytes = stride_bytes,
      .box_rows = box_rows,
  };
  static_assert(sizeof contents <= sizeof *map);
  std::memset(map, 0, sizeof *map);
  std::memcpy(map, &contents, sizeof contents);
  return Error::kOk;
}

}  // namespace embedcore::cuda

namespace embedcore::cuda::emulator {

namespace {

TmaCopy copy_of(Thread& me, const TensorMap* map, uint32_t shared, int x, int y, const void* site) {
  need_architecture(90, site);
  const LaunchInfo& launch = *me.block->launch;
  const auto at = reinterpret_cast<uintptr_t>(map), args = reinterpret_cast<uintptr_t>(launch.args);
  if (at < args || at + sizeof(TensorMap) > args + launch.args_bytes || at % 64 != 0)
    fail(site, "a tensor map must be one of the kernel's arguments, 64-byte aligned");
  TmaCopy copy;
  std::memcpy(&copy.map, map, sizeof copy.map);
  if (copy.map.mark != kMark) fail(site, "the tensor map was not made by make_tensor_map");
  const auto bytes = static_cast<uint32_t>(copy.map.box_rows) * kRowBytes;
  // The swizzle repeats after 1024 bytes.
  if (shared % 1024 != 0 || shared + bytes > me.block->shared_bytes)
    fail(site,
         "a box of %u bytes at the shared offset %u: expected a multiple of 1024 within the %u bytes of shared "
         "memory",
         bytes, shared, me.block->shared_bytes);
  copy.shared = shared;
  copy.x = x;
  copy.y = y;
  copy.thread = me.index;
  copy.site = site;
  return copy;
}

// Where 16 bytes lie: the number of the row within 8 is added to the number of the chunk without carry.
uint32_t swizzled(uint32_t offset) { return offset ^ ((offset >> 7 & 7) << 4); }

// Calls body(shared offset of 16 bytes, device address, bytes inside the tensor) for each chunk of a box.
template <typename Body>
void for_each_chunk(const TmaCopy& copy, Body&& body) {
  for (int64_t row = 0; row < copy.map.box_rows; ++row)
    for (int chunk = 0; chunk < kRowBytes / 16; ++chunk) {
      const uint32_t shared = swizzled(copy.shared + static_cast<uint32_t>(row * kRowBytes + chunk * 16));
      const int64_t y = copy.y + row;
      int inside = 0, first = 0;  // elements of the chunk within the tensor
      for (int i = 0; i < 8; ++i) {
        const int64_t x = copy.x + int64_t{8} * chunk + i;
        if (y < 0 || y >= copy.map.rows || x < 0 || x >= copy.map.columns) continue;
        if (inside++ == 0) first = i;
      }
      const unsigned char* from =
          inside == 0 ? nullptr
                      : copy.map.memory + y * copy.map.stride_bytes + 2 * (copy.x + int64_t{8} * chunk + first);
      body(shared, 2 * first, from, 2 * inside);
    }
}

}  // namespace

void load_by_tma(Thread& me, uint32_t shared, const TensorMap* map, uint32_t barrier, int x, int y, const void* site) {
  const OutsideKernel outside(me);
  TmaCopy copy = copy_of(me, map, shared, x, y, site);
  copy.barrier = barrier;
  mbarrier_at(me, barrier, site);
  if constexpr (kChecked)
    for_each_chunk(copy, [&](uint32_t to, int, const unsigned char* from, int bytes) {
      if (bytes > 0) check_range(me, from, static_cast<size_t>(bytes), Access::kRead, site);
      tma_load_issued(me, to, site);
    });
  me.block->sm90->loads.push_back(copy);
}

bool copy_one(Block& block) {
  Sm90& sm90 = *block.sm90;
  if (sm90.loads.empty()) return false;
  sm90.random = sm90.random * 6364136223846793005u + 1442695040888963407u;
  const size_t chosen = block.launch->seed == 0 ? 0 : (sm90.random >> 33) % sm90.loads.size();
  const TmaCopy copy = sm90.loads[chosen];
  sm90.loads.erase(sm90.loads.begin() + static_cast<std::ptrdiff_t>(chosen));
  for_each_chunk(copy, [&](uint32_t to, int at, const unsigned char* from, int bytes) {
    unsigned char chunk[16] = {};
    if (bytes > 0) std::memcpy(chunk + at, from, static_cast<size_t>(bytes));
    std::memcpy(block.arena + to, chunk, 16);
    if constexpr (kChecked) tma_load_arrived(block, to, copy.thread);
  });
  for (Mbarrier& barrier : sm90.barriers)
    if (barrier.offset == copy.barrier) bytes_arrived(block, barrier, static_cast<int>(copy.map.box_rows) * kRowBytes);
  return true;
}

void store_by_tma(Thread& me, const TensorMap* map, uint32_t shared, int x, int y, const void* site) {
  const OutsideKernel outside(me);
  const TmaCopy copy = copy_of(me, map, shared, x, y, site);
  if constexpr (kChecked)
    for_each_chunk(copy, [&](uint32_t from, int, const unsigned char* to, int bytes) {
      if (bytes == 0) return;
      check_async_operand(me, from, site);
      tma_store_reads(me, from, true);
      check_range(me, to, static_cast<size_t>(bytes), Access::kWrite, site);
    });
  TmaStores& stores = me.block->sm90->stores[me.index];
  stores.copies.push_back(copy);
  ++stores.uncommitted;
}

void commit_stores(Thread& me) {
  const OutsideKernel outside(me);
  TmaStores& stores = me.block->sm90->stores[me.index];
  stores.groups.push_back(stores.uncommitted);
  stores.uncommitted = 0;
}

void wait_for_stores(Thread& me, size_t groups) {
  const OutsideKernel outside(me);
  Sm90& sm90 = *me.block->sm90;
  TmaStores& stores = sm90.stores[me.index];
  for (; stores.groups.size() > groups; stores.groups.pop_front()) {
    const size_t count = stores.groups.front();
    for (size_t i = 0; i < count; ++i)
      for_each_chunk(stores.copies[i], [&](uint32_t from, int at, const unsigned char* to, int bytes) {
        if (bytes == 0) return;
        if constexpr (kChecked) tma_store_reads(me, from, false);
        TmaWrite& write = sm90.writes.emplace_back();
        write.to = const_cast<unsigned char*>(to);
        write.count = bytes;
        std::memcpy(write.bytes, me.block->arena + from + at, static_cast<size_t>(bytes));
      });
    stores.copies.erase(stores.copies.begin(), stores.copies.begin() + static_cast<std::ptrdiff_t>(count));
  }
}

void fence_proxy(Thread& me) {
  need_architecture(90, nullptr);
  if constexpr (kChecked) me.block->sm90->fences[me.index] = fence_record(me);
}

void begin_sm90(Block& block) {
  Sm90& sm90 = *block.sm90;
  if constexpr (kChecked)
    for (const Mbarrier& barrier : sm90.barriers) open_words(block, barrier.offset, 2);
  sm90.barriers.clear();
  sm90.loads.clear();
  sm90.writes.clear();
  for (int t = 0; t < block.thread_count; ++t) {
    sm90.stores[t].copies.clear();
    sm90.stores[t].groups.clear();
    sm90.stores[t].uncommitted = 0;
    sm90.fences[t] = 0;
  }
  // Registers are given in eights, at most 255, and as many as let kMinBlocks blocks fit.
  const int blocks = block.launch->kernel.min_blocks > 0 ? block.launch->kernel.min_blocks : 1;
  int registers = 65536 / (block.thread_count * blocks) / 8 * 8;
  if (registers > 248) registers = 248;
  sm90.free_registers = 0;
  for (int w = 0; w < block.warp_count; ++w) {
    sm90.registers[w] = registers;
    WgmmaQueue& queue = sm90.wgmma[w];
    queue.work.clear();
    queue.groups.clear();
    queue.uncommitted = 0;
    for (WgmmaSums* sums : queue.sums) queue.spare.push_back(sums);
    queue.sums.clear();
    queue.fenced = false;
    queue.history = 0;
  }
  sm90.random = block.launch->seed + block.index[0];
}

std::string finish_sm90(Block& block) {
  Sm90& sm90 = *block.sm90;
  if (!sm90.loads.empty())
    return format("the block ends while %zu loads of the copy unit are under way%s", sm90.loads.size(),
                  sm90.loads[0].site ? (" (" + place_of(sm90.loads[0].site) + ")").c_str() : "");
  for (const Mbarrier& barrier : sm90.barriers)
    if (barrier.bytes != 0)
      return format("the block ends while the barrier at the shared offset %u misses %lld bytes that were announced",
                    barrier.offset, static_cast<long long>(barrier.bytes));
  for (int t = 0; t < block.thread_count; ++t) {
    if (sm90.stores[t].uncommitted)
      return format("thread %d ends with stores of the copy unit that were not committed", t);
    if (!sm90.stores[t].copies.empty())
      return format("thread %d ends before its stores of the copy unit have read shared memory", t);
  }
  for (int w = 0; w < block.warp_count; ++w) {
    if (!sm90.wgmma[w].work.empty()) return format("warp %d ends with wgmma that it has not waited for", w);
    if (sm90.wgmma[w].history != sm90.wgmma[w / 4 * 4].history)
      return format("the warps %d and %d of one warpgroup have not executed the same wgmma", w / 4 * 4, w);
  }
  for (const TmaWrite& write : sm90.writes) std::memcpy(write.to, write.bytes, static_cast<size_t>(write.count));
  return "";
}

}  // namespace embedcore::cuda::emulator
