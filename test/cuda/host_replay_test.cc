#include "host_support.h"

namespace embedcore::cuda {
namespace {

// Work on an array, named by a key.
class ReplayTest : public HostTest {
 protected:
  static constexpr int64_t kCount = 1000;

  ReplayTest() : stream_(opened_.device) {
    x_ = static_cast<int32_t*>(allocate(opened_.device, kCount * sizeof(int32_t)));
    const std::vector<int32_t> zeros(kCount);
    EXPECT_EQ(upload(stream_, x_, zeros.data(), kCount * sizeof(int32_t)), kOk);
    EXPECT_EQ(wait(stream_), kOk);
  }
  ~ReplayTest() override { release(opened_.device, x_); }

  // Whether it was replayed. The array grows by `value` either way.
  bool work(int32_t value, uint64_t key, bool complete = true, size_t scratch_bytes = 0) {
    bool replayed = false;
    ReplayNote note;
    EXPECT_EQ(begin_replay(stream_, &key, sizeof key, &replayed, &note), kOk) << stream_.message;
    if (replayed) {
      EXPECT_EQ(note.words[1], key);
      return true;
    }
    if (scratch_bytes > 0) {
      EXPECT_NE(scratch(stream_, scratch_bytes), nullptr);
    }
    EXPECT_EQ(add(stream_, x_, kCount, value - 1), kOk);
    EXPECT_EQ(add(stream_, x_, kCount, 1), kOk);
    note.words[1] = key;
    EXPECT_EQ(end_replay(stream_, complete ? &note : nullptr), kOk) << stream_.message;
    return false;
  }

  // The array's values, which must all be the same.
  int32_t value() {
    std::vector<int32_t> values(kCount, -1);
    EXPECT_EQ(download(stream_, values.data(), x_, kCount * sizeof(int32_t)), kOk);
    EXPECT_EQ(wait(stream_), kOk) << stream_.message;
    for (const int32_t one : values) EXPECT_EQ(one, values[0]);
    return values[0];
  }

  OpenedDevice opened_;
  OpenedStream stream_;
  int32_t* x_;
};

TEST_F(ReplayTest, TheThirdTimeIsReplayed) {
  EXPECT_FALSE(work(5, 1));
  EXPECT_EQ(value(), 5);
  EXPECT_FALSE(work(5, 1));
  EXPECT_EQ(value(), 10);
  for (int i = 3; i < 10; ++i) {
    EXPECT_TRUE(work(5, 1));
    EXPECT_EQ(value(), 5 * i);
  }
}

TEST_F(ReplayTest, TwoKeysAlternate) {
  int32_t expected = 0;
  for (int round = 0; round < 6; ++round) {
    EXPECT_EQ(work(3, 1), round >= 2);
    EXPECT_EQ(work(40, 2), round >= 2);
    expected += 43;
    EXPECT_EQ(value(), expected);
  }
}

TEST_F(ReplayTest, WithoutAWaitInBetween) {
  for (int i = 0; i < 20; ++i) work(2, 1);
  EXPECT_EQ(value(), 40);
}

TEST_F(ReplayTest, IncompleteWorkIsForgotten) {
  work(5, 1);
  EXPECT_EQ(value(), 5);
  EXPECT_FALSE(work(5, 1, false));
  EXPECT_EQ(value(), 5) << "it was being recorded and has not run";
  EXPECT_FALSE(work(5, 1));
  EXPECT_EQ(value(), 10);
  EXPECT_TRUE(work(5, 1));
  EXPECT_EQ(value(), 15);
}

TEST_F(ReplayTest, ReleasedMemoryEndsIt) {
  void* other = allocate(opened_.device, 1000);
  for (int i = 0; i < 3; ++i) work(5, 1);
  release(opened_.device, other);
  EXPECT_FALSE(work(5, 1));
  EXPECT_TRUE(work(5, 1));
  EXPECT_EQ(value(), 25);
}

TEST_F(ReplayTest, ScratchThatMovedEndsIt) {
  for (int i = 0; i < 3; ++i) work(5, 1, true, 1000);
  EXPECT_TRUE(work(5, 1, true, 1000));
  scratch(stream_, 100000);
  EXPECT_FALSE(work(5, 1, true, 1000));
  EXPECT_TRUE(work(5, 1, true, 1000));
  EXPECT_EQ(value(), 30);
}

TEST_F(ReplayTest, ScratchMayGrowWhileItIsRecorded) {
  work(5, 1);
  EXPECT_FALSE(work(5, 1, true, 100000));
  EXPECT_TRUE(work(5, 1));
  EXPECT_EQ(value(), 15);
}

TEST_F(ReplayTest, TheOldestOfManyIsDropped) {
  int32_t expected = 0;
  for (int round = 0; round < 3; ++round)
    for (uint64_t key = 0; key < 300; ++key) {
      work(1, key);
      ++expected;
    }
  EXPECT_EQ(value(), expected);
  for (int i = 0; i < 3; ++i) work(1, 1000);
  EXPECT_TRUE(work(1, 1000));
  EXPECT_FALSE(work(1, 0));
  EXPECT_EQ(value(), expected + 5);
}

TEST_F(ReplayTest, AStreamThatIsOpenedAgainKnowsNothing) {
  for (int i = 0; i < 3; ++i) work(5, 1);
  close_stream(stream_);
  ASSERT_EQ(open_stream(stream_), kOk);
  EXPECT_FALSE(work(5, 1));
  EXPECT_EQ(value(), 20);
}

TEST_F(ReplayTest, EachStreamHasItsOwn) {
  for (int i = 0; i < 3; ++i) work(5, 1);
  EXPECT_EQ(value(), 15);
  OpenedStream other(opened_.device);
  bool replayed = true;
  ReplayNote note;
  const uint64_t key = 1;
  ASSERT_EQ(begin_replay(other, &key, sizeof key, &replayed, &note), kOk);
  EXPECT_FALSE(replayed);
  ASSERT_EQ(end_replay(other, nullptr), kOk);
}

}  // namespace
}  // namespace embedcore::cuda
