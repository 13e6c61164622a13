// engine/registry.h and engine/engine.h on the golden models: sharing, end and failure.
#include "engine/registry.h"

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "base_files.h"
#include "cpu/dispatch.h"
#include "engine/pool.h"
#include "engine_support.h"

namespace embedcore::test {
namespace {

const std::string kModels = std::string(EMBEDCORE_ROOT) + "/test/golden/models/";

ModelSource source_of(const std::string& name) {
  ModelSource source;
  source.directory = kModels + name;
  return source;
}

std::shared_ptr<Engine> open(const std::string& name, EngineOptions options = {.threads = 2},
                             const KeepLoading& keep_loading = {}) {
  return open_engine(source_of(name), default_cpu_backend(), options, keep_loading);
}

// The rows of texts of these lengths.
std::vector<float> encode(Engine& engine, const PlanOptions& options, const std::vector<int32_t>& lengths) {
  const auto plan = std::make_shared<const EncodePlan>(engine.model().plan(options));
  const auto rows = static_cast<int64_t>(lengths.size());
  std::vector<float> out(static_cast<size_t>(rows * plan->dimension));
  const auto call = std::make_shared<Call>(plan, out.data(), rows);
  Endings endings;
  engine.submit(call, piece_of(lengths, endings.completion()));
  if (const auto error = endings.wait_for(1)[0]) throw *error;
  return out;
}

void expect_code(Code code, const std::function<void()>& body) {
  try {
    body();
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code, code) << error.what();
  }
}

TEST(Registry, TheSameFilesAndOptionsGiveTheSameEngine) {
  const auto a = open("bert"), b = open("bert");
  EXPECT_EQ(a, b);
  EXPECT_NE(a, open("qwen2"));
}

TEST(Registry, OtherOptionsShareTheWeights) {
  const auto a = open("bert", {.threads = 1}), b = open("bert", {.threads = 2});
  EXPECT_NE(a, b);
  EXPECT_EQ(&a->model(), &b->model());
  ModelSource bf16 = source_of("bert");
  bf16.dtype = DType::kBF16;
  EXPECT_NE(&open_engine(bf16, default_cpu_backend(), {})->model(), &a->model());
}

// A limit above the size of any batch has no effect, so it does not lead to a second engine.
TEST(Registry, BatchLimitsAboveTheBackendsOwnAreEqual) {
  EXPECT_EQ(open("bert", {.threads = 1, .max_batch_tokens = 4096}),
            open("bert", {.threads = 1, .max_batch_tokens = 8192}));
  EXPECT_NE(open("bert", {.threads = 1, .max_batch_tokens = 4096}),
            open("bert", {.threads = 1, .max_batch_tokens = 16}));
}

TEST(Registry, TwoModelsShareTheWorkers) {
  const auto pool = WorkerPool::shared();
  const auto a = open("bert", {.threads = 2});
  const int workers = pool->workers();
  const auto b = open("qwen2", {.threads = 2}), c = open("mpnet", {.threads = 2});
  EXPECT_EQ(pool->workers(), workers);
}

TEST(Registry, AModelEndsWithItsLastEngine) {
  std::weak_ptr<Engine> engine;
  {
    const auto held = open("llama");
    engine = held;
  }
  EXPECT_TRUE(engine.expired());
}

TEST(Registry, AChangedFileIsAnotherModel) {
  const TemporaryDirectory directory;
  std::filesystem::copy(kModels + "bert", directory.path(), std::filesystem::copy_options::recursive);
  ModelSource source;
  source.directory = directory.path();
  const auto before = open_engine(source, default_cpu_backend(), {});
  std::filesystem::last_write_time(
      directory / "model.safetensors",
      std::filesystem::last_write_time(directory / "model.safetensors") + std::chrono::seconds(5));
  EXPECT_NE(open_engine(source, default_cpu_backend(), {}), before);
}

// Many threads in parallel: one load, one engine.
TEST(Registry, LoadsAtTheSameTimeShareOne) {
  std::vector<std::shared_ptr<Engine>> engines(8);
  std::vector<std::thread> threads;
  for (auto& engine : engines) threads.emplace_back([&engine] { engine = open("modernbert"); });
  for (std::thread& thread : threads) thread.join();
  for (const auto& engine : engines) EXPECT_EQ(engine, engines[0]);
}

// A load that is ended early throws the given error, and the next one succeeds.
TEST(Registry, ALoadEndsEarly) {
  for (const int after : {0, 1, 5, 20}) {
    int asked = 0;
    expect_code(Code::kAborted, [&] {
      open("distilbert", {}, [&] {
        if (asked++ == after) fail(Code::kAborted, "aborted");
      });
    });
  }
  EXPECT_NE(open("distilbert"), nullptr);
}

// A load that waits for another of the same files can end while it waits.
TEST(Registry, AWaitingLoadEndsEarly) {
  std::atomic<bool> waiting{false}, go_on{false};
  std::thread first([&] {
    open("roberta", {}, [&] {
      waiting = true;
      while (!go_on) std::this_thread::yield();
    });
  });
  while (!waiting) std::this_thread::yield();
  expect_code(Code::kAborted, [&] { open("roberta", {}, [] { fail(Code::kAborted, "aborted"); }); });
  go_on = true;
  first.join();
}

// --- engines ---

// Calls of other plans at the same time never share arithmetic.
TEST(Engine, ConcurrentPlansGiveTheBitsOfEachAlone) {
  for (const char* name : {"bert", "modernbert", "qwen2"}) {
    const auto engine = open(name, {.threads = 3});
    std::vector<PlanOptions> options(6);
    options[1].states = {0, 1};
    options[2].attention = {Mask::kCausal};
    options[3].pooling = {Pooling::kMax, Pooling::kCls};
    options[4].normalize = true;
    options[5].states = {1, 2};
    options[5].concat = true;
    const std::vector<int32_t> lengths = {3, 1, 8, 5};
    std::vector<std::vector<float>> alone;
    for (const PlanOptions& one : options) alone.push_back(encode(*engine, one, lengths));
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 4; ++thread)
      threads.emplace_back([&, thread] {
        for (int round = 0; round < 30; ++round) {
          const size_t i = static_cast<size_t>(thread + round) % options.size();
          wrong += encode(*engine, options[i], lengths) != alone[i];
        }
      });
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(wrong, 0) << name;
  }
}

TEST(Engine, RefusesWhatDoesNotFitTheModel) {
  const auto engine = open("bert");
  const auto vocab = static_cast<int32_t>(engine->model().vocab());
  const auto plan = std::make_shared<const EncodePlan>(engine->model().plan({}));
  const auto call = std::make_shared<Call>(plan, nullptr, 0);
  Endings endings;
  auto piece = piece_of({2}, endings.completion());
  piece->ids[1] = vocab;
  expect_code(Code::kTokenizerMismatch, [&] { engine->submit(call, piece); });
  piece->ids[1] = -1;
  expect_code(Code::kTokenizerMismatch, [&] { engine->submit(call, piece); });
  piece = piece_of({static_cast<int32_t>(engine->model().max_tokens()) + 1}, endings.completion());
  expect_code(Code::kTextTooLong, [&] { engine->submit(call, piece); });
  piece = piece_of({3}, endings.completion());
  piece->offsets.back() = 2;
  expect_code(Code::kInternal, [&] { engine->submit(call, piece); });
  EXPECT_EQ(endings.count(), 0u);
}

TEST(Engine, CancelledCallsEndOnceAndWriteNothing) {
  const auto engine = open("bert", {.threads = 2});
  const auto plan = std::make_shared<const EncodePlan>(engine->model().plan({}));
  for (int round = 0; round < 50; ++round) {
    constexpr int64_t kTexts = 200;
    auto out = std::make_unique<std::vector<float>>(static_cast<size_t>(kTexts * plan->dimension));
    const auto call = std::make_shared<Call>(plan, out->data(), kTexts);
    Endings endings;
    engine->submit(call, piece_of(std::vector<int32_t>(kTexts, 5), endings.completion()));
    if (round % 3) std::this_thread::yield();
    engine->cancel(*call, shared_error(Code::kAborted, "aborted"));
    out.reset();
    EXPECT_EQ(endings.wait_for(1).size(), 1u);
  }
}

// Waiting and running calls end with an error when the engine is destroyed.
TEST(Engine, EndsWhatWaitsWhenItGoes) {
  std::vector<float> out(1 << 20);
  Endings endings;
  {
    auto engine = open("bert", {.threads = 1});
    const auto plan = std::make_shared<const EncodePlan>(engine->model().plan({}));
    for (int i = 0; i < 20; ++i) {
      const auto call = std::make_shared<Call>(plan, out.data(), 400);
      engine->submit(call, piece_of(std::vector<int32_t>(400, 8), endings.completion()));
    }
  }
  size_t disposed = 0;
  for (const auto& error : endings.wait_for(20)) disposed += error && error->code == Code::kDisposed;
  EXPECT_GT(disposed, 0u);
}

TEST(LetGo, FreesOnAnotherThreadAndSaysSo) {
  std::atomic<bool> freed{false};
  std::thread::id where;
  std::mutex mutex;
  std::condition_variable changed;
  bool said = false;
  let_go(std::shared_ptr<void>(nullptr,
                               [&](void*) {
                                 where = std::this_thread::get_id();
                                 freed = true;
                               }),
         [&] {
           std::lock_guard lock(mutex);
           said = true;
           changed.notify_all();
         });
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return said; });
  EXPECT_TRUE(freed);
  EXPECT_NE(where, std::this_thread::get_id());
}

}  // namespace
}  // namespace embedcore::test
