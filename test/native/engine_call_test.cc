// engine/call.h: rows are written while a call exists and never afterwards; every piece ends once.
#include "engine/call.h"

#include <gtest/gtest.h>

#include <thread>

#include "engine_support.h"

namespace embedcore::test {
namespace {

TEST(Call, WritesRowsAndCompletesAPieceWithItsLastText) {
  std::vector<float> out(6, 0);
  const auto call = std::make_shared<Call>(plan_of(2), out.data(), 3);
  Endings endings;
  const auto piece = piece_of({1, 1, 1}, endings.completion());
  ASSERT_TRUE(call->open(piece));
  const float rows[] = {1, 2, -1, 3, 4, -1};
  call->write(1, rows, 3, 2);
  EXPECT_EQ(out, (std::vector<float>{0, 0, 1, 2, 3, 4}));
  call->delivered(piece, 2);
  EXPECT_EQ(endings.count(), 0u);
  call->delivered(piece, 1);
  EXPECT_EQ(endings.wait_for(1)[0], nullptr);
  call->fail(shared_error(Code::kAborted, "too late"));
  EXPECT_EQ(endings.count(), 1u);
}

TEST(Call, RowsOutsideAreNotWritten) {
  std::vector<float> out(4, 0);
  Call call(plan_of(2), out.data(), 1);
  const float row[] = {1, 2, 3, 4};
  call.write(1, row, 2, 1);
  call.write(-1, row, 2, 1);
  call.write(0, row, 2, 2);
  EXPECT_EQ(out, std::vector<float>(4, 0));
}

TEST(Call, FailEndsEveryPieceWithTheFirstError) {
  std::vector<float> out(2, 0);
  const auto call = std::make_shared<Call>(plan_of(2), out.data(), 1);
  Endings endings;
  const auto a = piece_of({1}, endings.completion()), b = piece_of({1}, endings.completion());
  call->open(a);
  call->open(b);
  call->fail(shared_error(Code::kAborted, "first"));
  call->fail(shared_error(Code::kDisposed, "second"));
  for (const auto& error : endings.wait_for(2)) EXPECT_STREQ(error->what(), "first");
  const float row[] = {1, 2};
  call->write(0, row, 2, 1);
  EXPECT_EQ(out, std::vector<float>(2, 0));
  call->delivered(a, 1);
  // A later piece ends immediately.
  EXPECT_FALSE(call->open(piece_of({1}, endings.completion())));
  EXPECT_EQ(endings.count(), 3u);
}

TEST(Call, AWithdrawnPieceIsNotCompleted) {
  Call call(plan_of(2), nullptr, 0);
  Endings endings;
  const auto piece = piece_of({1}, endings.completion());
  call.open(piece);
  call.withdraw(*piece);
  call.fail(shared_error(Code::kAborted, "aborted"));
  EXPECT_EQ(endings.count(), 0u);
}

// After fail() has returned, no thread writes any more, so the memory may be freed.
TEST(Call, FailWaitsForAWriteUnderWay) {
  for (int round = 0; round < 200; ++round) {
    auto out = std::make_unique<std::vector<float>>(512, 0.0f);
    const auto call = std::make_shared<Call>(plan_of(512), out->data(), 1);
    const std::vector<float> row(512, 1.0f);
    std::thread writer([&] {
      for (int i = 0; i < 100; ++i) call->write(0, row.data(), 512, 1);
    });
    call->fail(shared_error(Code::kAborted, "aborted"));
    out.reset();
    writer.join();
  }
}

}  // namespace
}  // namespace embedcore::test
