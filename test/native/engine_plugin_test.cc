// engine/plugin.h, and models on devices that fail (engine/device_executor.cc, engine/registry.h), with the library of
// plugin/fake_plugin.cc.
#include "engine/plugin.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>
#include <numeric>
#include <thread>

#include "base_files.h"
#include "cpu/dispatch.h"
#include "engine/registry.h"
#include "engine_support.h"
#include "reference/backend.h"

namespace embedcore::test {
namespace {

const std::string kBert = std::string(EMBEDCORE_ROOT) + "/test/golden/models/bert";

// The script of the fake devices, and the library.
class FakeDevices : public testing::Test {
 protected:
  FakeDevices() { ::setenv("EMBEDCORE_FAKE_DEVICES", (directory_ / "script").c_str(), 1); }
  ~FakeDevices() override { ::unsetenv("EMBEDCORE_FAKE_DEVICES"); }

  void script(const std::string& lines) {
    // Renamed, because a device reads it at any moment.
    std::ofstream(directory_ / "new") << lines << '\n';
    std::filesystem::rename(directory_ / "new", directory_ / "script");
  }
  // The line that begins a new log, and the sizes of the passes in it.
  std::string logged() {
    std::filesystem::remove(directory_ / "log");
    return "log " + (directory_ / "log");
  }
  std::vector<int64_t> sizes() const {
    std::ifstream log(directory_ / "log");
    return {std::istream_iterator<int64_t>(log), {}};
  }
  int64_t used() {
    const DeviceInfo info = describe_device(backend(), 0);
    return info.memory_bytes - info.free_bytes;
  }
  const Backend& backend() { return *open_plugin(EMBEDCORE_FAKE_PLUGIN).backend; }
  std::shared_ptr<Engine> open(int32_t index = 0, EngineOptions options = {}) {
    ModelSource source;
    source.directory = kBert;
    return open_engine(source, {backend(), index}, options);
  }

 private:
  const TemporaryDirectory directory_;
};

struct Encoding {
  std::vector<float> rows;
  std::shared_ptr<const Error> error;
};

// The rows of texts of these lengths, as one call in one piece.
Encoding encode(Engine& engine, const std::vector<int32_t>& lengths) {
  const auto plan = std::make_shared<const EncodePlan>(engine.model().plan({}));
  const auto count = static_cast<int64_t>(lengths.size());
  Encoding result;
  result.rows.resize(static_cast<size_t>(count * plan->dimension));
  const auto call = std::make_shared<Call>(plan, result.rows.data(), count);
  Endings endings;
  engine.submit(call, piece_of(lengths, endings.completion()));
  result.error = endings.wait_for(1)[0];
  return result;
}

std::vector<float> expected(const std::vector<int32_t>& lengths) {
  ModelSource source;
  source.directory = kBert;
  return encode(*open_engine(source, reference_backend(), {}), lengths).rows;
}

std::shared_ptr<const Error> error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (...) {
    return current_error();
  }
  return nullptr;
}

void expect_error(const std::shared_ptr<const Error>& error, Code code, const std::string& part) {
  ASSERT_NE(error, nullptr);
  EXPECT_EQ(error->code, code) << error->what();
  EXPECT_NE(std::string(error->what()).find(part), std::string::npos) << error->what();
}

// --- the library ---

TEST(Plugin, BesideTheProgramThereIsNone) {
  const Plugin& plugin = open_plugin("");
  EXPECT_EQ(plugin.backend, nullptr);
  EXPECT_TRUE(plugin.absent);
  EXPECT_NE(plugin.reason.find("/libembedcore_cuda.so does not exist; \"npm run build:cuda\""), std::string::npos)
      << plugin.reason;
}

TEST(Plugin, WhatCannotBeOpenedSaysWhy) {
  const TemporaryDirectory directory;
  const Plugin& missing = open_plugin(directory / "none.so");
  EXPECT_FALSE(missing.absent);
  EXPECT_NE(missing.reason.find("EMBEDCORE_CUDA_LIBRARY names "), std::string::npos) << missing.reason;
  std::ofstream(directory / "text.so") << "no library";
  const Plugin& text = open_plugin(directory / "text.so");
  EXPECT_NE(text.reason.find("the CUDA backend does not open: "), std::string::npos) << text.reason;
  EXPECT_NE(text.reason.find("text.so"), std::string::npos) << text.reason;
}

TEST(Plugin, IsOpenedOnce) {
  const Plugin& plugin = open_plugin(EMBEDCORE_FAKE_PLUGIN);
  EXPECT_NE(plugin.backend, nullptr) << plugin.reason;
  EXPECT_EQ(&open_plugin(EMBEDCORE_FAKE_PLUGIN), &plugin);
}

TEST_F(FakeDevices, AreDescribed) {
  script("devices 2\nunusable 1 it is too old\ncapability 75");
  EXPECT_EQ(backend().device_count(), 2);
  EXPECT_STREQ(describe_device(backend(), 0).name, "Fake GPU 0");
  EXPECT_STREQ(describe_device(backend(), 0).reason, "");
  EXPECT_STREQ(describe_device(backend(), 1).reason, "it is too old");
  EXPECT_EQ(fast_dtype(backend(), 0), DType::kF16);
  script("capability 80");
  EXPECT_EQ(fast_dtype(backend(), 0), DType::kBF16);
  script("devices 0\nnone there is no driver");
  EXPECT_EQ(reason_for_none(backend()), "there is no driver");
}

// --- models ---

TEST_F(FakeDevices, EachHasModelsOfItsOwn) {
  script("devices 2");
  const auto first = open(0), second = open(1);
  EXPECT_NE(&first->model(), &second->model());
  EXPECT_EQ(first, open(0));
  EXPECT_EQ(second->model().encoder().device().index(), 1);
  EXPECT_EQ(encode(*first, {3, 9}).rows, expected({3, 9}));
  EXPECT_EQ(encode(*second, {3, 9}).rows, expected({3, 9}));
  expect_error(error_of([&] { open(2); }), Code::kDevice, "cannot open device 2 of fake: there is no such device");
}

TEST_F(FakeDevices, ALoadThatFailsSaysWhy) {
  script("memory 1000");
  expect_error(error_of([&] { open(); }), Code::kOutOfMemory, "bytes on device 0 of fake");
  script("fail upload");
  expect_error(error_of([&] { open(); }), Code::kDevice, "an illegal memory access was encountered");
  script("open the driver says no");
  expect_error(error_of([&] { open(); }), Code::kDevice, "cannot open device 0 of fake: the driver says no");
  script("");
  EXPECT_EQ(encode(*open(), {3}).error, nullptr);
}

// At every point of a pass. All calls end, later ones are refused, others are not concerned, a new load works.
TEST_F(FakeDevices, ALostDeviceEndsItsModelAndNoOther) {
  for (const char* where : {"upload", "embed", "linear", "download", "wait"}) {
    SCOPED_TRACE(where);
    script("devices 2");
    const auto lost = open(0), other = open(1);
    const auto plan = std::make_shared<const EncodePlan>(lost->model().plan({}));
    script(std::string("devices 2\nhold\nfail ") + where);
    constexpr size_t kCalls = 12;
    std::vector<std::vector<float>> out(kCalls, std::vector<float>(static_cast<size_t>(40 * plan->dimension)));
    Endings endings;
    size_t refused = 0;
    for (auto& rows : out) {
      const auto call = std::make_shared<Call>(plan, rows.data(), 40);
      const auto error =
          error_of([&] { lost->submit(call, piece_of(std::vector<int32_t>(40, 9), endings.completion())); });
      if (!error) continue;
      expect_error(error, Code::kDevice, "restart the process");
      ++refused;
    }
    script(std::string("devices 2\nfail ") + where);
    for (const auto& error : endings.wait_for(kCalls - refused))
      expect_error(error, Code::kDevice, "device 0 of fake cannot go on: the device failed in ");
    script("devices 2");
    expect_error(error_of([&] { encode(*lost, {3}); }), Code::kDevice, "load the model again");
    EXPECT_EQ(encode(*other, {3}).rows, expected({3}));
    const auto again = open(0);
    EXPECT_NE(&again->model(), &lost->model());
    EXPECT_EQ(encode(*again, {3}).rows, expected({3}));
  }
}

// --- memory that runs out in the middle ---

// 1920 tokens. The first batch has a half of them, the next a half of the rest, and so on.
const std::vector<int32_t> kMany(64, 30);

int64_t sum(const std::vector<int64_t>& sizes) { return std::accumulate(sizes.begin(), sizes.end(), int64_t{0}); }
int64_t most(const std::vector<int64_t>& sizes) { return *std::max_element(sizes.begin(), sizes.end()); }

TEST_F(FakeDevices, ABatchWhoseMemoryIsMissingAtTheEndIsTriedInHalves) {
  script("");
  const auto engine = open(0, {.max_batch_tokens = 4096});
  script("late 500\n" + logged());
  const Encoding late = encode(*engine, kMany);
  EXPECT_EQ(late.error, nullptr) << late.error->what();
  EXPECT_EQ(late.rows, expected(kMany));
  const std::vector<int64_t> all = sizes();
  EXPECT_EQ(all.front(), 960);
  EXPECT_EQ(sum(all), 1920 + 960);
  EXPECT_EQ(most({all.begin() + 1, all.end()}), 480);
}

TEST_F(FakeDevices, ABatchThatFindsNoMemoryIsTriedInHalves) {
  script("");
  int64_t weights = 0, both = 0;
  {
    const auto engine = open(0, {.max_batch_tokens = 4096});
    weights = used();
    ASSERT_EQ(encode(*engine, kMany).error, nullptr);
    both = used();
  }
  const auto engine = open(0, {.max_batch_tokens = 4096});
  // Not for one batch, but for a half.
  script("memory " + std::to_string(weights + (both - weights) * 3 / 8) + "\n" + logged());
  const Encoding halves = encode(*engine, kMany);
  EXPECT_EQ(halves.error, nullptr) << halves.error->what();
  EXPECT_EQ(halves.rows, expected(kMany));
  EXPECT_EQ(sum(sizes()), 1920);
  EXPECT_EQ(most(sizes()), 480);
}

// The other flight's memory is given back, so a lone text may succeed the second time.
TEST_F(FakeDevices, ALoneTextIsTriedAgainWithTheMemoryOfTheOtherFlight) {
  script("");
  const auto engine = open(0, {.max_batch_tokens = 30});
  const int64_t weights = used();
  ASSERT_EQ(encode(*engine, std::vector<int32_t>(8, 30)).error, nullptr);
  const int64_t flights = used() - weights;
  script("memory " + std::to_string(weights + flights) + "\n" + logged());
  const auto longer = encode(*engine, {32});
  EXPECT_EQ(longer.error, nullptr) << longer.error->what();
  // A second engine of the model finds no memory that it could give back.
  const auto second = open(0, {.threads = 2, .max_batch_tokens = 30});
  script("memory " + std::to_string(used()) + "\n" + logged());
  expect_error(encode(*second, {30}).error, Code::kOutOfMemory, "bytes of activations on fake");
  EXPECT_EQ(sizes(), std::vector<int64_t>{});
}

TEST_F(FakeDevices, WithoutMemoryForAHalfTheCallFailsAndTheNextWorks) {
  script("");
  const auto engine = open();
  script("late 1");
  expect_error(encode(*engine, kMany).error, Code::kOutOfMemory, "no memory for");
  expect_error(encode(*engine, {5}).error, Code::kOutOfMemory, "no memory for");
  script("");
  EXPECT_EQ(encode(*engine, kMany).rows, expected(kMany));
}

// Later batches are half as large, and as large as before after enough successes.
TEST_F(FakeDevices, LaterBatchesAreSmallerForAWhile) {
  script("");
  const auto engine = open(0, {.max_batch_tokens = 960});
  script("late 500");
  EXPECT_EQ(encode(*engine, kMany).error, nullptr);
  script(logged());
  EXPECT_EQ(encode(*engine, kMany).error, nullptr);
  EXPECT_EQ(most(sizes()), 480);
  for (int i = 0; i < 64; ++i) EXPECT_EQ(encode(*engine, {5}).error, nullptr);
  script(logged());
  EXPECT_EQ(encode(*engine, kMany).rows, expected(kMany));
  EXPECT_EQ(most(sizes()), 960);
}

// Calls at the same time, one of them too large for the memory: the others lose nothing.
TEST_F(FakeDevices, CallsInTheSameBatchEndOnTheirOwn) {
  script("");
  const auto engine = open(0, {.max_batch_tokens = 4096});
  const auto plan = std::make_shared<const EncodePlan>(engine->model().plan({}));
  script("hold\nlate 40");
  const std::vector<std::vector<int32_t>> lengths = {{30}, {31, 31}, {60}, {30, 5}};
  std::vector<std::vector<float>> out;
  std::vector<Endings> endings(lengths.size());
  for (const auto& list : lengths) out.emplace_back(list.size() * static_cast<size_t>(plan->dimension));
  for (size_t i = 0; i < lengths.size(); ++i)
    engine->submit(std::make_shared<Call>(plan, out[i].data(), static_cast<int64_t>(lengths[i].size())),
                   piece_of(lengths[i], endings[i].completion()));
  script("late 40");
  for (const size_t i : {0, 1, 3}) {
    const auto error = endings[i].wait_for(1)[0];
    EXPECT_EQ(error, nullptr) << i << ": " << error->what();
    EXPECT_EQ(out[i], expected(lengths[i])) << i;
  }
  expect_error(endings[2].wait_for(1)[0], Code::kOutOfMemory, "no memory for");
}

TEST_F(FakeDevices, CancelAndDisposeWhileMemoryRunsOut) {
  for (int round = 0; round < 10; ++round) {
    script("");
    auto engine = open(0, {.max_batch_tokens = 4096});
    script("late 100");
    const auto plan = std::make_shared<const EncodePlan>(engine->model().plan({}));
    std::vector<float> out(static_cast<size_t>(64 * plan->dimension));
    Endings endings;
    std::vector<std::shared_ptr<Call>> calls;
    for (int i = 0; i < 6; ++i) {
      calls.push_back(std::make_shared<Call>(plan, out.data(), 64));
      engine->submit(calls.back(), piece_of(kMany, endings.completion()));
    }
    engine->cancel(*calls[1], shared_error(Code::kAborted, "aborted"));
    engine.reset();
    EXPECT_EQ(endings.wait_for(6).size(), 6u);
  }
}

// --- a batch as a part of another ---

TEST(BatchWork, TakesTheTextsOfAnotherOnceEach) {
  const auto call = std::make_shared<Call>(plan_of(2), nullptr, 0);
  BatchWork whole, part;
  for (const auto& piece : {piece_of({3, 4, 1, 2}), piece_of({9, 1})}) {
    // The first text of each piece is in another batch.
    whole.parts.push_back({.call = call, .piece = piece, .first_text = 1, .texts = piece->texts() - 1});
    for (int64_t i = 1; i < piece->texts(); ++i) whole.batch.add(piece->ids_of(i), 0, 0);
  }
  for (const int64_t budget : {1, 3, 5, 100}) {
    std::vector<std::pair<const Piece*, int64_t>> seen;
    for (BatchPlace place; part.take_from(whole, place, budget);) {
      int64_t texts = 0, tokens = 0;
      for (const BatchPart& one : part.parts)
        for (int64_t i = 0; i < one.texts; ++i, ++texts) {
          seen.emplace_back(one.piece.get(), one.first_text + i);
          tokens += one.piece->length(one.first_text + i);
        }
      EXPECT_EQ(part.batch.texts(), texts);
      EXPECT_EQ(part.batch.tokens(), tokens);
      EXPECT_TRUE(texts == 1 || tokens <= budget);
    }
    std::vector<std::pair<const Piece*, int64_t>> all;
    for (const BatchPart& one : whole.parts)
      for (int64_t i = 0; i < one.texts; ++i) all.emplace_back(one.piece.get(), one.first_text + i);
    EXPECT_EQ(seen, all) << budget;
  }
}

}  // namespace
}  // namespace embedcore::test
