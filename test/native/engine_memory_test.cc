// The engine with memory that fails at every allocation in turn, on the caller's thread and on the workers: every piece
// ends once, with its rows or kOutOfMemory; the engine works afterwards; nothing is lost.
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <optional>

#include "cpu/dispatch.h"
#include "engine/registry.h"
#include "engine/slice_job.h"
#include "engine_support.h"
#include "failing_memory.h"
#include "reference/device_backend.h"

namespace embedcore::test {
namespace {

const std::string kGolden = std::string(EMBEDCORE_ROOT) + "/test/golden/";

ModelSource source_of(const std::string& name) {
  ModelSource source;
  source.directory = kGolden + name;
  source.is_static = name.starts_with("stack/static");
  return source;
}

// Counts how pieces end, without memory.
class Ends {
 public:
  Completion completion() {
    return [this](std::shared_ptr<const Error> error) {
      std::lock_guard lock(mutex_);
      ++ended_;
      if (error && error->code != Code::kOutOfMemory && error->code != Code::kAborted) ++unexpected_;
      if (!error) ++succeeded_;
      changed_.notify_all();
    };
  }
  void wait_for(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return ended_ >= count; });
  }
  int ended() const { return ended_; }
  int succeeded() const { return succeeded_; }
  int unexpected() const { return unexpected_; }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int ended_ = 0, succeeded_ = 0, unexpected_ = 0;  // guarded by mutex_
};

// Runs body(); false if it was refused because there was no memory.
template <typename Body>
bool runs(Body&& body) {
  try {
    body();
    return true;
  } catch (const std::bad_alloc&) {
  } catch (const Error& error) {
    EXPECT_EQ(error.code, Code::kOutOfMemory) << error.what();
  }
  return false;
}

// A call of two pieces, and the memory of its rows.
struct TestCall {
  TestCall(const Model& model, const PlanOptions& options) {
    const auto plan = std::make_shared<const EncodePlan>(model.plan(options));
    pieces[0] = piece_of({3, 1, 9}, ends.completion());
    pieces[1] = piece_of({30, 0, 2}, ends.completion());
    const int64_t first = plan->token_output ? pieces[0]->tokens() : pieces[0]->texts();
    const int64_t rows = first + (plan->token_output ? pieces[1]->tokens() : pieces[1]->texts());
    pieces[1]->first_row = first;
    pieces[1]->first_text = 3;
    out.resize(static_cast<size_t>(rows * plan->dimension));
    call = std::make_shared<Call>(plan, out.data(), rows);
  }
  // Returns how many pieces were queued.
  int submit(Engine& engine) {
    int queued = 0;
    for (const auto& piece : pieces) queued += runs([&] { engine.submit(call, piece); });
    return queued;
  }

  Ends ends;
  std::shared_ptr<Piece> pieces[2];
  std::vector<float> out;
  std::shared_ptr<Call> call;
};

// Tokens and, for host backends, which are fast, sentences of several kinds.
std::vector<PlanOptions> some_plans(const Backend& backend) {
  std::vector<PlanOptions> options(backend.host_memory ? 4 : 1);
  options[0].token_output = true;
  if (backend.host_memory) {
    options[2].normalize = false;
    options[3].dimensions = 8;
  }
  return options;
}

std::vector<float> rows_of(Engine& engine, const PlanOptions& options) {
  TestCall call(engine.model(), options);
  EXPECT_EQ(call.submit(engine), 2);
  call.ends.wait_for(2);
  EXPECT_EQ(call.ends.succeeded(), 2);
  return call.out;
}

class EngineMemory : public testing::TestWithParam<const Backend*> {
 protected:
  const Backend& backend() const { return *GetParam(); }
  std::shared_ptr<const Model> load(const std::string& name) const {
    return Model::load(source_of(name), OpenDevice::open(backend()));
  }

  // Calls of several plans at once while an allocation fails; each attempt has an engine whose buffers are empty.
  void expect_calls_survive(const std::string& name, Whose whose, int threads) {
    const auto plans = some_plans(backend());
    std::vector<std::vector<float>> expected;
    {
      Engine engine(load(name), {.threads = threads});
      for (const PlanOptions& plan : plans) expected.push_back(rows_of(engine, plan));
    }
    for_each_allocation(name.c_str(), [&](int64_t n) {
      const int64_t before = live_blocks;
      const bool failed = run_calls(name, whose, threads, plans, expected, n);
      EXPECT_EQ(live_blocks, before);
      return failed;
    });
  }

 private:
  bool run_calls(const std::string& name, Whose whose, int threads, const std::vector<PlanOptions>& plans,
                 const std::vector<std::vector<float>>& expected, int64_t n) {
    Engine engine(load(name), {.threads = threads});
    std::vector<std::unique_ptr<TestCall>> calls;
    for (const PlanOptions& plan : plans) calls.push_back(std::make_unique<TestCall>(engine.model(), plan));
    std::vector<int> queued(calls.size());
    bool failed = false;
    {
      const MemoryFailure failure(whose, n);
      for (size_t i = 0; i < calls.size(); ++i) queued[i] = calls[i]->submit(engine);
      for (size_t i = 0; i < calls.size(); ++i) calls[i]->ends.wait_for(queued[i]);
      failed = MemoryFailure::happened();
    }
    for (size_t i = 0; i < calls.size(); ++i) {
      EXPECT_EQ(calls[i]->ends.ended(), queued[i]);
      EXPECT_EQ(calls[i]->ends.unexpected(), 0);
      if (calls[i]->ends.succeeded() == 2) {
        EXPECT_EQ(calls[i]->out, expected[i]);
      }
    }
    EXPECT_EQ(rows_of(engine, plans[0]), expected[0]);
    return failed;
  }
};
INSTANTIATE_TEST_SUITE_P(Every, EngineMemory, testing::Values(&default_cpu_backend(), &reference_device_backend()),
                         [](const auto& info) { return info.param->host_memory ? "cpu" : "device"; });

TEST_P(EngineMemory, CallersOfATransformer) { expect_calls_survive("models/bert", Whose::kThisThread, 1); }
TEST_P(EngineMemory, WorkersOfATransformer) { expect_calls_survive("models/bert", Whose::kOtherThreads, 1); }
TEST_P(EngineMemory, WorkersWithRotaryTables) { expect_calls_survive("models/qwen2", Whose::kOtherThreads, 2); }
TEST_P(EngineMemory, WorkersWithRelativePositions) { expect_calls_survive("models/mpnet", Whose::kOtherThreads, 2); }
TEST_P(EngineMemory, WorkersOfATable) { expect_calls_survive("stack/static", Whose::kOtherThreads, 1); }

class HostEngineMemory : public EngineMemory {};
INSTANTIATE_TEST_SUITE_P(Host, HostEngineMemory, testing::Values(&default_cpu_backend()));
TEST_P(HostEngineMemory, ManyWorkers) { expect_calls_survive("models/bert", Whose::kOtherThreads, 3); }

// From construction to the end: the engine is made, or there is none.
TEST_P(EngineMemory, Engines) {
  const auto model = load("models/bert");
  for_each_allocation("an engine", [&](int64_t n) {
    const int64_t before = live_blocks;
    bool failed = false;
    {
      const MemoryFailure failure(Whose::kAllThreads, n);
      runs([&] { Engine(model, {.threads = 3}); });
      failed = MemoryFailure::happened();
    }
    EXPECT_EQ(live_blocks, before);
    return failed;
  });
}

// Calls that wait when their engine is destroyed end without allocating.
TEST_P(EngineMemory, EnginesThatGo) {
  const auto model = load("models/bert");
  TestCall warm(*model, {});
  for (int round = 0; round < 3; ++round) {
    std::optional<Engine> engine(std::in_place, model, EngineOptions{.threads = 1});
    std::vector<std::unique_ptr<TestCall>> calls;
    for (int i = 0; i < 20; ++i) calls.push_back(std::make_unique<TestCall>(*model, PlanOptions{}));
    for (const auto& call : calls) EXPECT_EQ(call->submit(*engine), 2);
    {
      // Every allocation of this thread would fail, one after the other.
      const MemoryFailure failure(Whose::kThisThread, 1 + round);
      engine.reset();
    }
    for (const auto& call : calls) EXPECT_EQ(call->ends.ended(), 2);
  }
}

TEST_P(EngineMemory, Cancelled) {
  const auto model = load("models/bert");
  Engine engine(model, {.threads = 2});
  for_each_allocation("a cancelled call", [&](int64_t n) {
    TestCall call(*model, {});
    EXPECT_EQ(call.submit(engine), 2);
    bool failed = false;
    {
      const MemoryFailure failure(Whose::kThisThread, n);
      engine.cancel(*call.call, shared_error(Code::kAborted, "aborted"));
      failed = MemoryFailure::happened();
    }
    call.ends.wait_for(2);
    EXPECT_EQ(call.ends.ended(), 2);
    return failed;
  });
}

TEST_P(EngineMemory, OpenedAndLetGo) {
  const ModelSource source = source_of("models/bert");
  open_engine(source, backend(), {});
  for_each_allocation("an engine by its files", [&](int64_t n) {
    Ends freed;
    bool failed = false;
    {
      const MemoryFailure failure(Whose::kThisThread, n);
      runs([&] {
        auto engine = open_engine(source, backend(), {});
        let_go(std::move(engine), [done = freed.completion()] { done(nullptr); });
        freed.wait_for(1);
      });
      failed = MemoryFailure::happened();
    }
    EXPECT_LE(freed.ended(), 1);
    EXPECT_NE(open_engine(source, backend(), {}), nullptr);
    return failed;
  });
}

// Slices that need memory, as those of ranges() do.
TEST(SliceMemory, StartedAndRun) {
  WorkerPool::shared();  // creates everything that is created once
  for (const Whose whose : {Whose::kThisThread, Whose::kAllThreads}) {
    for_each_allocation("a comparison", [&](int64_t n) {
      const int64_t before = live_blocks;
      bool failed = false;
      {
        Ends ends;
        std::atomic<int> slices{0};
        auto pool = WorkerPool::shared();
        const MemoryFailure failure(whose, n);
        const bool started = runs([&] {
          SliceJob::start(
              pool, 20,
              [&](int64_t, Stream&) {
                const std::vector<float> row(100);
                ++slices;
              },
              ends.completion());
        });
        if (started) ends.wait_for(1);
        failed = MemoryFailure::happened();
        pool.reset();
        EXPECT_EQ(ends.ended(), started ? 1 : 0);
        EXPECT_EQ(ends.unexpected(), 0);
        if (ends.succeeded() == 1) {
          EXPECT_EQ(slices, 20);
        }
      }
      EXPECT_EQ(live_blocks, before);
      return failed;
    });
  }
}

}  // namespace
}  // namespace embedcore::test
