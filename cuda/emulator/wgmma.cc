// wgmma: executed when it is waited for, and not before. Until then the registers of its sums are NaN. Each warp
// computes its own 16 rows.
#include <cstring>

#include "emulator/access.h"
#include "emulator/matrix.h"
#include "emulator/memory.h"
#include "emulator/numbers.h"
#include "emulator/report.h"
#include "emulator/sm90.h"

namespace embedcore::cuda::emulator {

namespace {

// Address, stride of 1024 bytes between groups of 8 rows, 128-byte swizzle, as on the device.
constexpr uint64_t kFields = 1ull << 16 | 64ull << 32 | 1ull << 62;

uint32_t offset_of(uint64_t descriptor, int rows, const Block& block, const char* name, const void* site) {
  const auto offset = static_cast<uint32_t>(descriptor & 0x3fff) << 4;
  if ((descriptor & ~uint64_t{0x3fff}) != kFields)
    fail(site, "the descriptor of %s was not made by wgmma_descriptor", name);
  // 16 elements of rows of 128 bytes; groups of 8 rows begin at multiples of 1024.
  if (offset % 1024 + 32 > 128 || offset / 1024 * 1024 + static_cast<uint32_t>(rows) * 128 > block.shared_bytes)
    fail(site,
         "%s of wgmma is at the shared offset %u: expected the first row of a group of 1024 bytes, and %d rows of 128 "
         "bytes within the %u bytes of shared memory",
         name, offset, rows, block.shared_bytes);
  return offset;
}

uint32_t chunk_of(uint32_t offset, int row, int half) {
  const uint32_t plain = offset + static_cast<uint32_t>(row * 128 + half * 16);
  return plain ^ ((plain >> 7 & 7) << 4);
}

// The operands of a warp: 16 rows of a, and all rows of b.
template <typename Body>
void for_each_chunk(const WgmmaWork& work, int warp, Body&& body) {
  for (int row = 0; row < 16; ++row)
    for (int half = 0; half < 2; ++half) body(chunk_of(work.a, warp % 4 * 16 + row, half));
  for (int row = 0; row < work.columns; ++row)
    for (int half = 0; half < 2; ++half) body(chunk_of(work.b, row, half));
}

void gather(WgmmaSums& sums) {
  for (int lane = 0; lane < 32; ++lane)
    for (int j = 0; j < sums.columns / 8; ++j) {
      float* block = sums.blocks[static_cast<size_t>(j)].at + 8 * (lane / 4) + 2 * (lane % 4);
      std::memcpy(block, sums.registers[lane] + 4 * j, 8);
      std::memcpy(block + 64, sums.registers[lane] + 4 * j + 2, 8);
    }
}
void scatter(const WgmmaSums& sums) {
  for (int lane = 0; lane < 32; ++lane)
    for (int j = 0; j < sums.columns / 8; ++j) {
      const float* block = sums.blocks[static_cast<size_t>(j)].at + 8 * (lane / 4) + 2 * (lane % 4);
      std::memcpy(sums.registers[lane] + 4 * j, block, 8);
      std::memcpy(sums.registers[lane] + 4 * j + 2, block + 64, 8);
    }
}

WgmmaSums& sums_of(WgmmaQueue& queue, float* const (&registers)[32], int columns, const void* site) {
  for (WgmmaSums* sums : queue.sums) {
    if (sums->registers[0] != registers[0]) continue;
    if (sums->columns != columns)
      fail(site, "wgmma of %d columns on registers that one of %d uses", columns, sums->columns);
    return *sums;
  }
  if (!queue.fenced) fail(site, "wgmma on registers that were in other use, without a wgmma_fence since");
  WgmmaSums* sums;
  if (queue.spare.empty()) {
    sums = new WgmmaSums;  // kept for the next block
  } else {
    sums = queue.spare.back();
    queue.spare.pop_back();
  }
  queue.sums.push_back(sums);
  std::memcpy(sums->registers, registers, sizeof registers);
  sums->columns = columns;
  sums->pending = 0;
  sums->blocks.resize(static_cast<size_t>(columns / 8));
  gather(*sums);
  for (int lane = 0; lane < 32; ++lane) poison(sums->registers[lane], static_cast<size_t>(columns) / 2 * 4);
  return *sums;
}

void execute(Warp& warp, const WgmmaWork& work) {
  Block& block = *warp.threads[0].block;
  if constexpr (kChecked)
    // Nobody may have written the operands since.
    for_each_chunk(work, warp.index,
                   [&](uint32_t chunk) { check_shared16<Access::kRead>(warp.threads[0], chunk, work.site); });
  if (!work.accumulate) std::memset(work.sums->blocks.data(), 0, work.sums->blocks.size() * sizeof(SumsBlock));
  const unsigned char* rows[16][2];
  for (int row = 0; row < 16; ++row)
    for (int half = 0; half < 2; ++half)
      rows[row][half] = block.arena + chunk_of(work.a, warp.index % 4 * 16 + row, half);
  const unsigned char* columns[256][2];
  for (int column = 0; column < work.columns; ++column)
    for (int half = 0; half < 2; ++half) columns[column][half] = block.arena + chunk_of(work.b, column, half);
  if (work.f16) {
    multiply_wgmma_f16(rows, columns, work.columns, work.sums->blocks[0].at);
  } else {
    multiply_wgmma_bf16(rows, columns, work.columns, work.sums->blocks[0].at);
  }
}

}  // namespace

uint64_t wgmma_descriptor_of(uint32_t offset) { return (offset & 0x3ffff) >> 4 | kFields; }

void issue_wgmma(Warp& warp, float* const (&registers)[32], uint64_t a, uint64_t b, int columns, bool f16,
                 bool accumulate, const void* site) {
  Block& block = *warp.threads[0].block;
  const OutsideKernel outside(*current);
  if (block.architecture != 90) fail(site, "wgmma exists on sm_90a alone, and sm_%d is emulated", block.architecture);
  if (block.warp_count % 4 != 0)
    fail(site, "wgmma in a block of %d threads: expected whole warpgroups of 128", block.thread_count);
  WgmmaWork work;
  work.a = offset_of(a, 64, block, "a", site);
  work.b = offset_of(b, columns, block, "b", site);
  work.columns = columns;
  work.f16 = f16;
  work.accumulate = accumulate;
  work.site = site;
  if constexpr (kChecked)
    for_each_chunk(work, warp.index, [&](uint32_t chunk) { check_async_operand(warp.threads[0], chunk, site); });
  WgmmaQueue& queue = block.sm90->wgmma[warp.index];
  work.sums = &sums_of(queue, registers, columns, site);
  ++work.sums->pending;
  queue.work.push_back(work);
  ++queue.uncommitted;
  const uint64_t what = a ^ b << 1 ^ static_cast<uint64_t>(columns) << 40 ^ static_cast<uint64_t>(accumulate) << 50;
  queue.history = (queue.history ^ what) * 0x9e3779b97f4a7c15 + 1;
}

void commit_wgmma(Warp& warp) {
  need_architecture(90, nullptr);
  const OutsideKernel outside(*current);
  WgmmaQueue& queue = warp.threads[0].block->sm90->wgmma[warp.index];
  queue.groups.push_back(queue.uncommitted);
  queue.uncommitted = 0;
}

void wait_for_wgmma(Warp& warp, size_t groups) {
  need_architecture(90, nullptr);
  const OutsideKernel outside(*current);
  WgmmaQueue& queue = warp.threads[0].block->sm90->wgmma[warp.index];
  for (; queue.groups.size() > groups; queue.groups.pop_front())
    for (size_t i = queue.groups.front(); i > 0; --i) {
      execute(warp, queue.work.front());
      WgmmaSums* sums = queue.work.front().sums;
      queue.work.pop_front();
      if (--sums->pending > 0) continue;
      scatter(*sums);
      std::erase(queue.sums, sums);
      queue.spare.push_back(sums);
      queue.fenced = false;
    }
}

void change_registers(Thread& me, int count, bool more, const void* site) {
  Block& block = *me.block;
  Sm90& sm90 = *block.sm90;
  const int warp = me.warp->index;
  if (block.architecture < 90) fail(site, "registers move between warps from sm_90 on");
  if (count < 24 || count > 256 || count % 8 != 0)
    fail(site, "a thread cannot have %d registers: expected a multiple of 8 from 24 to 256", count);
  const int change = count - sm90.registers[warp];
  if (more ? change < 0 : change > 0)
    fail(site, "%s<%d> by a warp that has %d registers a thread", more ? "claim_registers" : "release_registers", count,
         sm90.registers[warp]);
  while (change > sm90.free_registers) {
    // The whole warp waits: its other lanes do so in the operation that they share.
    me.wait = Wait::kRegisters;
    me.wait_id = count;
    me.site = site;
    me.warp->ready = 0;
    run_others(me);
    me.wait = Wait::kNothing;
  }
  me.warp->ready = kAllLanes;
  sm90.free_registers -= change;
  sm90.registers[warp] = count;
  if (change >= 0) return;
  for (int t = 0; t < block.thread_count; ++t)
    if (block.threads[t].wait == Wait::kRegisters) block.threads[t].warp->ready |= block.threads[t].bit;
}

}  // namespace embedcore::cuda::emulator
