// Models behind a device boundary (reference/device_backend.h): the same bits as the reference in host memory, with two
// batches in flight; and the boundary itself.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "cpu/dispatch.h"
#include "engine/engine.h"
#include "engine_support.h"
#include "model/model.h"
#include "ops/norm.h"
#include "reference/backend.h"
#include "reference/device_backend.h"

namespace embedcore::test {
namespace {

namespace fs = std::filesystem;
const std::string kModels = std::string(EMBEDCORE_ROOT) + "/test/golden/models/";

std::shared_ptr<Engine> engine_of(const std::string& directory, const Backend& backend, DType dtype) {
  ModelSource source;
  source.directory = directory;
  source.dtype = dtype;
  return std::make_shared<Engine>(Model::load(source, OpenDevice::open(backend)), EngineOptions{.threads = 2});
}

std::vector<PlanOptions> options() {
  std::vector<PlanOptions> list(4);
  list[1].attention = {Mask::kPrefix};
  list[1].pooling = {Pooling::kMax, Pooling::kLastToken};
  list[2].states = {0, 1, 2};
  list[2].normalize = true;
  list[2].dimensions = 5;
  list[3].token_output = true;
  return list;
}

std::vector<float> encode(Engine& engine, const PlanOptions& options, const std::vector<int32_t>& lengths) {
  const auto plan = std::make_shared<const EncodePlan>(engine.model().plan(options));
  const auto piece = piece_of(lengths);
  const int64_t rows = plan->token_output ? piece->tokens() : piece->texts();
  std::vector<float> out(static_cast<size_t>(rows * plan->dimension));
  const auto call = std::make_shared<Call>(plan, out.data(), rows);
  Endings endings;
  piece->done = endings.completion();
  engine.submit(call, piece);
  if (const auto error = endings.wait_for(1)[0]) throw *error;
  return out;
}

TEST(DeviceModel, GivesTheBitsOfTheReferenceInHostMemory) {
  for (const auto& entry : fs::directory_iterator(kModels)) {
    for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16, DType::kI8}) {
      SCOPED_TRACE(testing::Message() << entry.path() << ' ' << dtype_name(dtype));
      const auto host = engine_of(entry.path().string(), reference_backend(), dtype);
      const auto device = engine_of(entry.path().string(), reference_device_backend(), dtype);
      for (const PlanOptions& one : options())
        EXPECT_EQ(encode(*device, one, {7, 1, 12, 3}), encode(*host, one, {7, 1, 12, 3}));
    }
  }
}

// A table without a dtype is asked first, and says which ones it has.
TEST(DeviceModel, ADTypeThatTheDeviceLacksIsRefused) {
  ASSERT_FALSE(default_cpu_backend().supports(nullptr, DType::kF16));
  try {
    engine_of(kModels + "bert", default_cpu_backend(), DType::kF16);
    FAIL() << "loaded";
  } catch (const Error& error) {
    EXPECT_EQ(error.code, Code::kInvalidOption);
    EXPECT_EQ(error.what(), "Expected a dtype that " + std::string(default_cpu_backend().name) +
                                " computes in ('float32', 'bfloat16', 'int8') but received \"float16\"");
  }
}

// int8 goes through bfloat16 rows, or through float32 where there are none.
TEST(DeviceModel, Int8DoesWithoutBfloat16) {
  static const Backend without = [] {
    Backend table = reference_device_backend();
    table.supports = [](Device*, DType dtype) { return dtype == DType::kF32 || dtype == DType::kI8; };
    return table;
  }();
  const auto engine = engine_of(kModels + "bert", without, DType::kI8);
  const auto exact = engine_of(kModels + "bert", reference_backend(), DType::kF32);
  const std::vector<float> got = encode(*engine, {}, {7, 12}), wanted = encode(*exact, {}, {7, 12});
  double dot = 0, squares = 0, wanted_squares = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    dot += static_cast<double>(got[i]) * wanted[i];
    squares += static_cast<double>(got[i]) * got[i];
    wanted_squares += static_cast<double>(wanted[i]) * wanted[i];
  }
  EXPECT_GT(dot / std::sqrt(squares * wanted_squares), 0.99);
}

// The next batch is launched while one is in flight; tables that grow meanwhile stay valid for batches that read them.
TEST(DeviceModel, ManyCallsAtOnce) {
  for (const char* name : {"mpnet", "llama", "roberta"}) {
    const auto engine = engine_of(kModels + name, reference_device_backend(), DType::kF32);
    const int32_t longest = name == std::string("roberta") ? 30 : 40;
    const auto plan = std::make_shared<const EncodePlan>(engine->model().plan({}));
    constexpr int kCalls = 40;
    std::vector<std::vector<float>> out(kCalls), alone(kCalls);
    for (int i = 0; i < kCalls; ++i) alone[static_cast<size_t>(i)] = encode(*engine, {}, {1 + i % longest, 2});
    Endings endings;
    for (int i = 0; i < kCalls; ++i) {
      auto& rows = out[static_cast<size_t>(i)];
      rows.resize(static_cast<size_t>(2 * plan->dimension));
      const auto call = std::make_shared<Call>(plan, rows.data(), 2);
      engine->submit(call, piece_of({1 + i % longest, 2}, endings.completion()));
    }
    for (const auto& error : endings.wait_for(kCalls)) EXPECT_EQ(error, nullptr);
    EXPECT_EQ(out, alone) << name;
  }
}

TEST(DeviceModel, CancelAndDisposeWhileBatchesAreUnderWay) {
  for (int round = 0; round < 10; ++round) {
    auto engine = engine_of(kModels + "bert", reference_device_backend(), DType::kF32);
    const auto plan = std::make_shared<const EncodePlan>(engine->model().plan({}));
    std::vector<float> out(static_cast<size_t>(200 * plan->dimension));
    Endings endings;
    std::vector<std::shared_ptr<Call>> calls;
    for (int i = 0; i < 6; ++i) {
      calls.push_back(std::make_shared<Call>(plan, out.data(), 200));
      engine->submit(calls.back(), piece_of(std::vector<int32_t>(200, 9), endings.completion()));
    }
    engine->cancel(*calls[1], shared_error(Code::kAborted, "aborted"));
    engine.reset();
    EXPECT_EQ(endings.wait_for(6).size(), 6u);
  }
}

// --- the boundary ---

TEST(ReferenceDevice, AnOperationOnHostMemoryIsRefused) {
  OpenStream stream(OpenDevice::open(reference_device_backend()));
  float host[4] = {1, 2, 3, 4};
  const NormArgs args{.x = host, .x_stride = 4, .y = host, .y_stride = 4, .rows = 1, .width = 4, .epsilon = 1};
  EXPECT_EQ(stream.opened().backend().norm(stream, args), kBadArgument);
  EXPECT_STREQ(stream.message, "x is not memory of the device");
}

TEST(ReferenceDevice, NothingRunsBeforeItIsWaitedFor) {
  const DevicePointer device = OpenDevice::open(reference_device_backend());
  OpenStream stream(device);
  const float ones[4] = {1, 1, 1, 1};
  const DeviceArray<float> memory(*device, ones);
  float back[4] = {0, 0, 0, 0};
  ASSERT_EQ(device->backend().download(stream, back, memory.data(), sizeof back), kOk);
  EXPECT_EQ(back[0], 0);
  stream.wait();
  EXPECT_EQ(back[0], 1);
}

TEST(ReferenceDeviceDeathTest, TouchingItsMemoryEndsTheProcess) {
  const float ones[4] = {1, 1, 1, 1};
  const DeviceArray<float> memory(*OpenDevice::open(reference_device_backend()), ones);
  EXPECT_DEATH({ EXPECT_EQ(*static_cast<const volatile float*>(memory.data()), 1); }, "");
}

}  // namespace
}  // namespace embedcore::test
