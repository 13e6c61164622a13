#include <algorithm>
#include <map>
#include <random>

#include "host_support.h"

namespace embedcore::cuda {
namespace {

constexpr size_t kFirstBlock = size_t{1} << 20;

size_t in_use() {
  size_t free_bytes = 0, total_bytes = 0;
  EXPECT_EQ(memory_info(0, &free_bytes, &total_bytes), Error::kOk);
  return total_bytes - free_bytes;
}

class Memory : public HostTest {
 protected:
  Memory() { EXPECT_EQ(set_device(0), Error::kOk); }

  void* allocate(DeviceMemory& memory, size_t bytes) {
    Error error = Error::kOk;
    void* piece = memory.allocate(bytes, &error);
    EXPECT_EQ(error, piece ? Error::kOk : Error::kOutOfMemory);
    return piece;
  }
};

TEST_F(Memory, ManyPiecesShareABlock) {
  const size_t before = in_use();
  DeviceMemory memory(kFirstBlock);
  for (int i = 0; i < 100; ++i) ASSERT_NE(allocate(memory, 5000), nullptr);
  EXPECT_EQ(in_use() - before, kFirstBlock);
}

TEST_F(Memory, PiecesAreAlignedAndApart) {
  const size_t before = in_use();
  {
    DeviceMemory memory(kFirstBlock);
    std::map<std::byte*, size_t> pieces;
    std::mt19937 random(3);
    for (int round = 0; round < 3000; ++round) {
      if (!pieces.empty() && random() % 5 < 2) {
        auto piece = std::next(pieces.begin(), random() % pieces.size());
        ASSERT_EQ(memory.release(piece->first), Error::kOk);
        pieces.erase(piece);
        continue;
      }
      const size_t bytes = random() % 8 == 0 ? random() % 900000 : random() % 6000;
      auto* piece = static_cast<std::byte*>(allocate(memory, bytes));
      ASSERT_NE(piece, nullptr);
      ASSERT_EQ(reinterpret_cast<uintptr_t>(piece) % 256, 0u);
      const auto [place, is_new] = pieces.emplace(piece, bytes);
      ASSERT_TRUE(is_new);
      const auto next = std::next(place);
      if (next != pieces.end()) {
        ASSERT_LE(piece + bytes, next->first);
      }
      if (place != pieces.begin()) {
        ASSERT_LE(std::prev(place)->first + std::prev(place)->second, piece);
      }
    }
    EXPECT_GT(in_use(), before);
    for (const auto& [piece, bytes] : pieces) ASSERT_EQ(memory.release(piece), Error::kOk);
    EXPECT_EQ(in_use(), before) << "a block without pieces is given back";
    allocate(memory, 100);
    EXPECT_GT(in_use(), before);
  }
  EXPECT_EQ(in_use(), before) << "and all of them at the end";
}

TEST_F(Memory, ReleasedPiecesBecomeOneAgain) {
  DeviceMemory memory(kFirstBlock);
  void* last = allocate(memory, 256);  // keeps the block
  std::vector<void*> pieces;
  for (int i = 0; i < 15; ++i) pieces.push_back(allocate(memory, kFirstBlock / 32));
  const size_t before = in_use();
  std::swap(pieces[3], pieces[7]);
  for (void* piece : pieces) ASSERT_EQ(memory.release(piece), Error::kOk);
  EXPECT_NE(allocate(memory, kFirstBlock / 32 * 15), nullptr);
  EXPECT_EQ(in_use(), before);
  EXPECT_EQ(memory.release(last), Error::kOk);
}

TEST_F(Memory, ALargePieceTakesNoMoreThanItself) {
  DeviceMemory memory(kFirstBlock);
  const size_t before = in_use();
  void* piece = allocate(memory, kFirstBlock);
  EXPECT_EQ(in_use() - before, kFirstBlock);
  EXPECT_EQ(memory.release(piece), Error::kOk);
  EXPECT_EQ(in_use(), before);
}

TEST_F(Memory, BlocksDouble) {
  DeviceMemory memory(kFirstBlock);
  const size_t before = in_use();
  for (size_t i = 0; i < 3 * 1024 / 4; ++i) allocate(memory, 4096);
  EXPECT_EQ(in_use() - before, 3 * kFirstBlock);
}

TEST_F(Memory, WhereNoBlockIsLeftAPieceMayBe) {
  emulate([](emulator::Settings& settings) { settings.memory = kFirstBlock / 2; });
  DeviceMemory memory(kFirstBlock);
  void* piece = allocate(memory, 4096);
  EXPECT_NE(piece, nullptr);
  EXPECT_EQ(allocate(memory, kFirstBlock), nullptr);
  EXPECT_EQ(allocate(memory, SIZE_MAX - 5), nullptr);
  EXPECT_NE(allocate(memory, 4096), nullptr) << "a refusal changes nothing";
}

TEST_F(Memory, WhatItDidNotGiveIsRefused) {
  DeviceMemory memory(kFirstBlock);
  int somewhere = 0;
  EXPECT_EQ(memory.release(nullptr), Error::kOk);
  EXPECT_EQ(memory.release(&somewhere), Error::kInvalidValue);
  auto* piece = static_cast<std::byte*>(allocate(memory, 1000));
  void* other = allocate(memory, 1000);
  EXPECT_EQ(memory.release(piece + 256), Error::kInvalidValue);
  EXPECT_EQ(memory.release(piece), Error::kOk);
  EXPECT_EQ(memory.release(piece), Error::kInvalidValue) << "a second time";
  EXPECT_EQ(memory.release(other), Error::kOk);
}

}  // namespace
}  // namespace embedcore::cuda
