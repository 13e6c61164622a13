// base/weight_memory.h: the parts of an arena do not overlap and exist as long as they are held, arenas share nothing,
// and a refused allocation is null.
#include "base/weight_memory.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "failing_memory.h"

namespace embedcore {
namespace {

using test::aligned_blocks, test::refuse_memory;

constexpr size_t kMuch = size_t{20} << 20;  // more than any chunk that is shared

// A part, filled with a byte that differs from that of others.
struct Part {
  Part(WeightArena& arena, size_t bytes, int tag)
      : memory(arena.allocate(bytes)), size(bytes), byte(static_cast<std::byte>(tag)) {
    if (memory.data()) std::fill_n(memory.data(), size, byte);
  }
  bool intact() const {
    return std::count(memory.data(), memory.data() + size, byte) == static_cast<std::ptrdiff_t>(size);
  }
  WeightMemory memory;
  size_t size;
  std::byte byte;
};

uintptr_t address(const WeightMemory& memory) { return reinterpret_cast<uintptr_t>(memory.data()); }

TEST(WeightMemory, IsAlignedWhateverTheSizes) {
  WeightArena arena;
  for (const size_t bytes : {1u, 63u, 64u, 65u, 4u, 100u, 4097u, 12u}) {
    const WeightMemory part = arena.allocate(bytes);
    ASSERT_NE(part.data(), nullptr);
    EXPECT_EQ(address(part) % 64, 0u);
  }
}

TEST(WeightMemory, NothingIsNull) { EXPECT_EQ(WeightMemory().data(), nullptr); }

// Of many sizes, more than one chunk holds.
TEST(WeightMemory, PartsShareChunksAndDoNotOverlap) {
  const int before = aligned_blocks;
  {
    WeightArena arena;
    std::deque<Part> parts;
    for (int i = 0; i < 100; ++i) parts.emplace_back(arena, 1 + static_cast<size_t>(i % 10) * 50021, i + 1);
    for (const Part& part : parts) {
      ASSERT_NE(part.memory.data(), nullptr);
      EXPECT_TRUE(part.intact());
    }
    const int chunks = aligned_blocks - before;
    EXPECT_GT(chunks, 1);
    EXPECT_LT(chunks, 10);
  }
  EXPECT_EQ(aligned_blocks, before);
}

// A small model keeps no memory of a large one that was dropped.
TEST(WeightMemory, ArenasShareNoChunk) {
  const int before = aligned_blocks;
  WeightArena small_arena;
  auto large_arena = std::make_unique<WeightArena>();
  const Part small(small_arena, 1000, 1);
  auto large = std::make_unique<Part>(*large_arena, 1000, 2);
  EXPECT_EQ(aligned_blocks, before + 2);
  large.reset();
  large_arena.reset();
  EXPECT_EQ(aligned_blocks, before + 1);
  EXPECT_TRUE(small.intact());
}

TEST(WeightMemory, OutlivesItsArena) {
  const int before = aligned_blocks;
  auto arena = std::make_unique<WeightArena>();
  auto part = std::make_unique<Part>(*arena, 1000, 1);
  arena.reset();
  EXPECT_TRUE(part->intact());
  part.reset();
  EXPECT_EQ(aligned_blocks, before);
}

TEST(WeightMemory, AChunkGoesWithItsLastPart) {
  const int before = aligned_blocks;
  WeightArena arena;
  auto first = std::make_unique<Part>(arena, 1000, 1), second = std::make_unique<Part>(arena, 3000, 2);
  EXPECT_EQ(aligned_blocks, before + 1);
  first.reset();
  EXPECT_TRUE(second->intact());
  // The next part does not overlap one that still lives.
  Part third(arena, 5000, 3);
  EXPECT_TRUE(second->intact());
  second.reset();
  EXPECT_TRUE(third.intact());
  EXPECT_EQ(aligned_blocks, before + 1);
  third.memory = WeightMemory();
  EXPECT_EQ(third.memory.data(), nullptr);
  EXPECT_EQ(aligned_blocks, before);
  // The next starts a new chunk.
  const Part fourth(arena, 1000, 4);
  EXPECT_TRUE(fourth.intact());
  EXPECT_EQ(aligned_blocks, before + 1);
}

TEST(WeightMemory, MovesWithItsChunk) {
  const int before = aligned_blocks;
  WeightArena arena;
  {
    WeightMemory kept;
    {
      Part part(arena, 1000, 1);
      const std::byte* data = part.memory.data();
      kept = std::move(part.memory);
      EXPECT_EQ(kept.data(), data);
    }
    EXPECT_EQ(aligned_blocks, before + 1);
    EXPECT_EQ(std::count(kept.data(), kept.data() + 1000, std::byte{1}), 1000);
  }
  EXPECT_EQ(aligned_blocks, before);
}

TEST(WeightMemory, OfMoreThanAChunk) {
  const int before = aligned_blocks;
  WeightArena arena;
  const Part small(arena, 100, 1);
  auto large = std::make_unique<Part>(arena, kMuch + 1, 2);
  ASSERT_NE(large->memory.data(), nullptr);
  EXPECT_EQ(address(large->memory) % 64, 0u);
  const Part next(arena, 100, 3);
  EXPECT_TRUE(small.intact() && large->intact() && next.intact());
  large.reset();
  EXPECT_TRUE(small.intact() && next.intact());
  EXPECT_LE(aligned_blocks, before + 2);
}

TEST(WeightMemory, WithoutMemoryIsNull) {
  const int before = aligned_blocks;
  WeightArena arena;
  refuse_memory = true;
  WeightMemory none = arena.allocate(100);
  refuse_memory = false;
  EXPECT_EQ(none.data(), nullptr);
  EXPECT_EQ(aligned_blocks, before);
  none = arena.allocate(100);
  EXPECT_NE(none.data(), nullptr);
  EXPECT_EQ(aligned_blocks, before + 1);
}

// After a refused chunk, the existing ones stay in use.
TEST(WeightMemory, ARefusalLeavesOpenChunksAlone) {
  const int before = aligned_blocks;
  WeightArena arena;
  const Part first(arena, 1000, 1);
  refuse_memory = true;
  const WeightMemory large = arena.allocate(kMuch);
  const Part second(arena, 1000, 2);
  refuse_memory = false;
  EXPECT_EQ(large.data(), nullptr);
  ASSERT_NE(second.memory.data(), nullptr);
  const Part third(arena, 1000, 3);
  EXPECT_TRUE(first.intact() && second.intact() && third.intact());
  EXPECT_EQ(aligned_blocks, before + 1);
}

// Layers of one model may be packed by several threads.
TEST(WeightMemory, FromManyThreads) {
  const int before = aligned_blocks;
  WeightArena arena;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&arena, thread] {
      for (int round = 0; round < 300; ++round) {
        std::deque<Part> parts;
        for (int i = 0; i < 60; ++i) parts.emplace_back(arena, 1 + static_cast<size_t>(i), 1 + thread * 60 + i);
        for (const Part& part : parts) ASSERT_TRUE(part.memory.data() && part.intact());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(aligned_blocks, before);
}

}  // namespace
}  // namespace embedcore
