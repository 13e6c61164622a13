// engine/queue.h: which texts go into the next batch, without threads.
#include "engine/queue.h"

#include <gtest/gtest.h>

#include "engine_support.h"

namespace embedcore::test {
namespace {

constexpr int64_t kBatch = 256, kPlenty = int64_t{1} << 40;

std::shared_ptr<Call> call_of(const std::shared_ptr<const EncodePlan>& plan = plan_of(4)) {
  return std::make_shared<Call>(plan, nullptr, 0);
}

// A queue, and calls by the order in which they were made.
struct Fixture {
  explicit Fixture(int64_t workers = 1, int64_t most_waiting = kPlenty) : queue(kBatch, workers, most_waiting) {}

  std::shared_ptr<Call> add(const std::vector<int32_t>& lengths, const std::shared_ptr<const EncodePlan>& plan) {
    const auto call = call_of(plan);
    queue.add(call, piece_of(lengths));
    return call;
  }
  std::shared_ptr<Call> add(const std::vector<int32_t>& lengths) { return add(lengths, same_plan); }

  bool take(bool only_short = false) {
    std::shared_ptr<Call> failed;
    const bool taken = queue.take(work, only_short, failed);
    EXPECT_EQ(failed, nullptr);
    return taken;
  }
  // The calls of the batch in order.
  std::vector<Call*> calls() const {
    std::vector<Call*> list;
    for (const BatchPart& part : work.parts) list.push_back(part.call.get());
    return list;
  }

  std::shared_ptr<const EncodePlan> same_plan = plan_of(4);
  CallQueue queue;
  BatchWork work;
};

using Calls = std::vector<Call*>;

TEST(CallQueue, OneCallInBatchesOfWholeTexts) {
  Fixture f;
  const auto call = f.add({100, 100, 100, 300, 10});
  std::vector<int64_t> tokens;
  while (f.take()) tokens.push_back(f.work.batch.tokens());
  // 200 leave no room for another 100; a text longer than a batch goes alone.
  EXPECT_EQ(tokens, (std::vector<int64_t>{200, 100, 300, 10}));
  EXPECT_TRUE(f.queue.empty());
  EXPECT_EQ(f.queue.waiting_tokens(), 0);
}

TEST(CallQueue, PartsSayWhichTexts) {
  Fixture f;
  f.add({200, 50, 60});
  ASSERT_TRUE(f.take());
  ASSERT_EQ(f.work.parts.size(), 1u);
  EXPECT_EQ(f.work.parts[0].first_text, 0);
  EXPECT_EQ(f.work.parts[0].texts, 2);
  EXPECT_EQ(f.work.batch.longest(), 200);
  ASSERT_TRUE(f.take());
  EXPECT_EQ(f.work.parts[0].first_text, 2);
}

TEST(CallQueue, ShortCallsShareABatchInTheOrderOfArrival) {
  Fixture f;
  const auto a = f.add({10}), b = f.add({20}), c = f.add({30});
  ASSERT_TRUE(f.take());
  EXPECT_EQ(f.calls(), (Calls{a.get(), b.get(), c.get()}));
  EXPECT_TRUE(f.work.is_short);
}

// A later call that would still fit waits with the earlier one that does not.
TEST(CallQueue, ALaterShortCallNeverOvertakes) {
  Fixture f;
  std::vector<std::shared_ptr<Call>> calls;
  for (int i = 0; i < 5; ++i) calls.push_back(f.add({60}));
  const auto small = f.add({5});
  ASSERT_TRUE(f.take());
  EXPECT_EQ(f.work.batch.tokens(), 240);  // 4 x 60; the fifth does not fit, and so neither does the sixth
  EXPECT_EQ(f.calls().size(), 4u);
  ASSERT_TRUE(f.take());
  EXPECT_EQ(f.calls(), (Calls{calls[4].get(), small.get()}));
}

TEST(CallQueue, AShortCallDoesNotWaitBehindALongOne) {
  Fixture f;
  const auto longer = f.add(std::vector<int32_t>(20, 100));
  ASSERT_TRUE(f.take());
  const auto small = f.add({5});
  ASSERT_TRUE(f.take());
  EXPECT_EQ(f.calls(), (Calls{small.get()}));
  ASSERT_TRUE(f.take());
  EXPECT_EQ(f.calls(), (Calls{longer.get()}));
}

TEST(CallQueue, EveryFourthBatchGoesToTheOldest) {
  Fixture f;
  const auto oldest = f.add(std::vector<int32_t>(20, 200));
  std::vector<bool> served_oldest;
  for (int i = 0; i < 8; ++i) {
    f.add({200});  // otherwise new calls, which have been served nothing, come first
    ASSERT_TRUE(f.take());
    served_oldest.push_back(f.calls()[0] == oldest.get());
  }
  EXPECT_TRUE(served_oldest[3]);
  EXPECT_TRUE(served_oldest[7]);
  EXPECT_LT(std::count(served_oldest.begin(), served_oldest.end(), true), 5);
}

// Fairness is per call: a new piece of a call does not start at zero.
TEST(CallQueue, PiecesOfACallCountTogether) {
  Fixture f;
  const auto many = f.add({200});
  ASSERT_TRUE(f.take());
  f.queue.add(many, piece_of({200, 200}));
  const auto other = f.add({100, 100});
  ASSERT_TRUE(f.take());
  EXPECT_EQ(f.calls(), (Calls{other.get()}));
}

TEST(CallQueue, OnlyEqualPlansShareABatch) {
  Fixture f;
  const auto a = f.add({10}), other = f.add({10}, plan_of(5)), c = f.add({10}), equal = f.add({10}, plan_of(4));
  ASSERT_TRUE(f.take());
  EXPECT_EQ(f.calls(), (Calls{a.get(), c.get(), equal.get()}));
  ASSERT_TRUE(f.take());
  EXPECT_EQ(f.calls(), (Calls{other.get()}));
}

// Every field of a plan counts.
TEST(CallQueue, PlansThatDifferInOneFieldDoNotShareABatch) {
  const EncodePlan base = *plan_of(4);
  std::vector<EncodePlan> plans(11, base);
  plans[1].pooling = {Pooling::kMax};
  plans[2].token_output = true;
  plans[3].apply_normalize = false;
  plans[4].normalize_last = true;
  plans[5].pooled = 8;
  plans[6].forward.states = {1};
  plans[7].forward.factors = {0.25f};
  plans[8].forward.concat = true;
  plans[9].forward.only_last = false;
  plans[10].forward.layers = {{Mask::kCausal, 0}};
  Fixture f;
  for (const EncodePlan& plan : plans) f.add({1}, std::make_shared<const EncodePlan>(plan));
  for (size_t i = 0; i < plans.size(); ++i) {
    ASSERT_TRUE(f.take());
    EXPECT_EQ(f.work.parts.size(), 1u) << i;
  }
}

TEST(CallQueue, TheWaitingTokensAreDividedAmongWorkers) {
  Fixture f(/*workers=*/4);
  f.add(std::vector<int32_t>(40, 10));
  ASSERT_TRUE(f.take());
  EXPECT_EQ(f.work.batch.tokens(), 100);
}

TEST(CallQueue, OnlyShortTakesNothingOfLongCalls) {
  Fixture f;
  f.add({100});
  EXPECT_FALSE(f.take(true));
  EXPECT_EQ(f.queue.short_calls(), 0);
  const auto small = f.add({64});
  EXPECT_EQ(f.queue.short_calls(), 1);
  ASSERT_TRUE(f.take(true));
  EXPECT_EQ(f.calls(), (Calls{small.get()}));
  EXPECT_EQ(f.queue.short_calls(), 0);
}

// A call that grows beyond the limit is not short any more.
TEST(CallQueue, ACallIsShortByAllItsTokens) {
  Fixture f;
  const auto call = f.add({40});
  EXPECT_EQ(f.queue.short_calls(), 1);
  f.queue.add(call, piece_of({40}));
  EXPECT_EQ(f.queue.short_calls(), 0);
  ASSERT_TRUE(f.take());
  EXPECT_FALSE(f.work.is_short);
  EXPECT_EQ(f.queue.short_calls(), 0);
}

// --- admission ---

TEST(CallQueue, ALoneCallIsNeverRefusedByItsOwnSize) {
  Fixture f(1, /*most_waiting=*/100);
  const auto call = f.add(std::vector<int32_t>(5, 100));
  for (int i = 0; i < 4; ++i) f.queue.add(call, piece_of({100, 100}));
  EXPECT_EQ(f.queue.waiting_tokens(), 1300);
}

TEST(CallQueue, AnAdmittedCallIsNotRefusedLater) {
  Fixture f(1, /*most_waiting=*/100);
  const auto first = f.add({30}), second = f.add({50});
  f.queue.add(first, piece_of({1000}));
  f.queue.add(second, piece_of({1000}));
  EXPECT_EQ(f.queue.waiting_tokens(), 2080);
  // Also when nothing of it waits at the moment.
  while (f.take()) {
  }
  f.add({90});
  f.queue.add(first, piece_of({1000}));
}

TEST(CallQueue, ANewCallIsRefusedWhereTheQueueIsFull) {
  Fixture f(1, /*most_waiting=*/100);
  f.add({60});
  const auto refused = call_of(f.same_plan);
  try {
    f.queue.add(refused, piece_of({41}));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code, Code::kQueueFull);
    EXPECT_STREQ(error.what(), "60 tokens wait already and this call has 41; maxQueueTokens is 100");
  }
  EXPECT_EQ(f.queue.waiting_tokens(), 60);
  f.add({40});
  ASSERT_TRUE(f.take());
  EXPECT_EQ(f.calls().size(), 2u);  // nothing is left of the refused one
}

// --- leaving ---

TEST(CallQueue, RemoveForgetsWhatWaits) {
  Fixture f;
  const auto a = f.add({100, 200, 200}), b = f.add({100});
  ASSERT_TRUE(f.take());
  f.queue.remove(*a);
  EXPECT_EQ(f.queue.waiting_tokens(), 100);
  f.queue.remove(*a);
  ASSERT_TRUE(f.take());
  EXPECT_EQ(f.calls(), (Calls{b.get()}));
  EXPECT_FALSE(f.take());
}

TEST(CallQueue, RemoveOfAShortCallIsCounted) {
  Fixture f;
  const auto small = f.add({3});
  f.queue.remove(*small);
  EXPECT_EQ(f.queue.short_calls(), 0);
  EXPECT_TRUE(f.queue.empty());
}

TEST(CallQueue, FailedCallsAreNotTaken) {
  Fixture f;
  const auto a = f.add({100}), b = f.add({100});
  a->fail(shared_error(Code::kAborted, "aborted"));
  ASSERT_TRUE(f.take());
  EXPECT_EQ(f.calls(), (Calls{b.get()}));
  EXPECT_EQ(f.queue.waiting_tokens(), 0);
}

TEST(CallQueue, RemoveAllGivesTheCallsBack) {
  Fixture f;
  const auto a = f.add({100}), b = f.add({1});
  EXPECT_EQ(f.queue.remove_all(), (std::vector<std::shared_ptr<Call>>{a, b}));
  EXPECT_TRUE(f.queue.empty());
  EXPECT_EQ(f.queue.waiting_tokens(), 0);
  EXPECT_EQ(f.queue.short_calls(), 0);
}

TEST(CallQueue, TextsWithoutTokensEndABatchToo) {
  Fixture f;
  f.add(std::vector<int32_t>(1000, 0));
  int64_t texts = 0, batches = 0;
  while (f.take()) {
    texts += f.work.batch.texts();
    ++batches;
    EXPECT_LE(f.work.batch.texts(), kBatch);
  }
  EXPECT_EQ(texts, 1000);
  EXPECT_GT(batches, 3);
}

}  // namespace
}  // namespace embedcore::test
