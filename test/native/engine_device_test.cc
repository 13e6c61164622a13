// The executor of a device keeps to what its table asks for: the tokens of a batch and the batches in flight.
#include <gtest/gtest.h>

#include <algorithm>
#include <mutex>
#include <set>

#include "engine/engine.h"
#include "engine_support.h"
#include "model/model.h"
#include "ops/embed.h"
#include "reference/device_backend.h"

namespace embedcore::test {
namespace {

// What a table saw: a batch begins with its embeddings and ends when its stream has been waited for.
struct Seen {
  std::mutex mutex;
  // Guarded by mutex.
  std::set<const void*> in_flight;
  size_t most_in_flight = 0, batches = 0;
  int64_t most_tokens = 0;
};
Seen seen;

Status watched_embed(Stream& stream, const EmbedArgs& args) {
  {
    std::lock_guard lock(seen.mutex);
    seen.in_flight.insert(stream.queue);
    seen.most_in_flight = std::max(seen.most_in_flight, seen.in_flight.size());
    seen.most_tokens = std::max(seen.most_tokens, args.tokens);
    ++seen.batches;
  }
  return reference_device_backend().embed(stream, args);
}

Status watched_wait(Stream& stream) {
  const Status status = reference_device_backend().wait(stream);
  std::lock_guard lock(seen.mutex);
  seen.in_flight.erase(stream.queue);
  return status;
}

struct Asked {
  int64_t batch_tokens;
  int32_t batches_in_flight;
  int64_t most_tokens;  // of a batch of texts of 9 tokens, with maxBatchTokens 50
};

TEST(DeviceExecutor, KeepsToTheTokensAndBatchesThatTheTableAsksFor) {
  for (const Asked& asked :
       {Asked{20, 1, 18}, Asked{20, 2, 18}, Asked{40, 3, 36}, Asked{5, 2, 9}, Asked{0, 2, 45}, Asked{100, 1, 45}}) {
    SCOPED_TRACE(testing::Message() << asked.batch_tokens << " tokens, " << asked.batches_in_flight << " in flight");
    Backend table = reference_device_backend();
    table.batch_tokens = asked.batch_tokens;
    table.batches_in_flight = asked.batches_in_flight;
    table.embed = watched_embed;
    table.wait = watched_wait;
    ModelSource source;
    source.directory = std::string(EMBEDCORE_ROOT) + "/test/golden/models/bert";
    {
      Engine engine(Model::load(source, OpenDevice::open(table)), {.threads = 1, .max_batch_tokens = 50});
      seen.batches = seen.most_in_flight = 0;
      seen.most_tokens = 0;
      const auto plan = std::make_shared<const EncodePlan>(engine.model().plan({}));
      std::vector<float> out(static_cast<size_t>(60 * plan->dimension));
      Endings endings;
      const auto call = std::make_shared<Call>(plan, out.data(), 60);
      engine.submit(call, piece_of(std::vector<int32_t>(60, 9), endings.completion()));
      EXPECT_EQ(endings.wait_for(1)[0], nullptr);
    }
    EXPECT_EQ(seen.most_tokens, asked.most_tokens);
    EXPECT_EQ(seen.most_in_flight, static_cast<size_t>(asked.batches_in_flight));
    EXPECT_GE(static_cast<int64_t>(seen.batches), 60 * 9 / asked.most_tokens);
    EXPECT_TRUE(seen.in_flight.empty());
  }
}

}  // namespace
}  // namespace embedcore::test
