// Small batches on backends that record them (Backend::begin_replay): a replayed batch has the bits of a batch whose
// operations were given. Of the tables under test only that of EMBEDCORE_TEST_BACKEND may record.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "model/model.h"
#include "op_backends.h"

namespace embedcore::test {
namespace {

const std::string kModels = std::string(EMBEDCORE_ROOT) + "/test/golden/models/";

std::vector<const Backend*> recording_backends() {
  std::vector<const Backend*> backends;
  for (const Backend* backend : fast_backends())
    if (backend->begin_replay) backends.push_back(backend);
  return backends;
}

// The backend's table with a begin_replay that counts.
const Backend* counted = nullptr;
int replays = 0;

Status count_replays(Stream& stream, const void* key, size_t key_bytes, bool* replayed, ReplayNote* note) {
  const Status status = counted->begin_replay(stream, key, key_bytes, replayed, note);
  if (status == kOk && *replayed) ++replays;
  return status;
}

class ReplayTest : public testing::TestWithParam<const Backend*> {
 protected:
  ReplayTest() : recording_(*GetParam()), plain_(*GetParam()) {
    counted = GetParam();
    replays = 0;
    recording_.begin_replay = count_replays;
    plain_.begin_replay = nullptr;
  }

  const Backend& recording() const { return recording_; }
  const Backend& plain() const { return plain_; }

 private:
  Backend recording_, plain_;
};

// A model with the memory of one flight.
class Runner {
 public:
  Runner(const std::string& name, const Backend& backend, DType dtype = DType::kF32)
      : device_(OpenDevice::open(backend)), model_(load(name, dtype)), stream_(device_) {}

  EncodePlan plan(const PlanOptions& options = {}) const { return model_->plan(options); }

  // Empty where `between` ended the pass.
  std::vector<float> run(
      const EncodePlan& plan, const std::vector<int32_t>& lengths,
      const TokenEncoder::BetweenLayers& between = [] { return true; }) {
    BatchBuilder batch;
    int32_t next = 1;
    for (const int32_t length : lengths) {
      std::vector<int32_t> ids(static_cast<size_t>(length));
      for (int32_t& id : ids) id = 1 + next++ % 20;
      batch.add(ids, 0, 1);
    }
    const ResultRows rows = model_->run(plan, batch, workspace_, stream_, between);
    std::vector<float> values(static_cast<size_t>(rows.rows * rows.stride));
    if (rows.data)
      check_status(stream_.opened().backend().download(stream_, values.data(), rows.data, values.size() * 4), stream_,
                   "a download");
    stream_.wait();
    return values;
  }

 private:
  std::shared_ptr<const Model> load(const std::string& name, DType dtype) const {
    ModelSource source;
    source.directory = kModels + name;
    source.dtype = dtype;
    return Model::load(source, device_);
  }

  DevicePointer device_;
  std::shared_ptr<const Model> model_;
  Workspace workspace_;
  OpenStream stream_;
};

TEST_P(ReplayTest, TheThirdBatchOfAShapeIsReplayedWithTheSameBits) {
  // Learned, rotary and relative positions.
  for (const char* name : {"bert", "llama", "mpnet"})
    for (const DType dtype : {DType::kF32, DType::kBF16, DType::kI8}) {
      SCOPED_TRACE(testing::Message() << name << ' ' << dtype_name(dtype));
      Runner recorder(name, recording(), dtype), given(name, plain(), dtype);
      const EncodePlan plan = recorder.plan(), own = given.plan();
      // The same shape, and texts of other lengths with as many tokens.
      for (const std::vector<int32_t>& lengths :
           std::vector<std::vector<int32_t>>{{7}, {3, 5}, {3, 5}, {5, 3}, {4, 4}}) {
        const std::vector<float> expected = given.run(own, lengths);
        const int before = replays;
        for (int i = 0; i < 4; ++i) EXPECT_EQ(recorder.run(plan, lengths), expected) << i;
        EXPECT_GE(replays - before, 2);
      }
    }
}

TEST_P(ReplayTest, PlansAlternate) {
  Runner recorder("bert", recording()), given("bert", plain());
  std::vector<PlanOptions> options(4);
  options[1].pooling = {Pooling::kMax, Pooling::kLastToken};
  options[2].states = {0, 1, 2};
  options[2].normalize = true;
  options[3].token_output = true;
  std::vector<EncodePlan> plans;
  std::vector<std::vector<float>> expected;
  for (const PlanOptions& one : options) {
    plans.push_back(recorder.plan(one));
    expected.push_back(given.run(given.plan(one), {6, 2}));
  }
  // The first two rounds make room in the workspace, which may move it.
  for (int round = 0; round < 6; ++round)
    for (size_t i = 0; i < plans.size(); ++i) EXPECT_EQ(recorder.run(plans[i], {6, 2}), expected[i]) << i;
  EXPECT_GE(replays, 3 * 4);
}

TEST_P(ReplayTest, MemoryThatMovesEndsARecording) {
  Runner recorder("llama", recording()), given("llama", plain());
  const EncodePlan plan = recorder.plan(), own = given.plan();
  const std::vector<float> expected = given.run(own, {9});
  const auto replayed = [&] {
    const int before = replays;
    EXPECT_EQ(recorder.run(plan, {9}), expected);
    return replays > before;
  };
  replayed();
  replayed();
  EXPECT_TRUE(replayed());
  // The workspace grows, and it is no small batch.
  const std::vector<int32_t> many(100, 7);
  EXPECT_EQ(recorder.run(plan, many), given.run(own, many));
  EXPECT_FALSE(replayed());
  replayed();
  EXPECT_TRUE(replayed());
  // The tables of positions grow.
  EXPECT_EQ(recorder.run(plan, {600}), given.run(own, {600}));
  EXPECT_FALSE(replayed());
  replayed();
  EXPECT_TRUE(replayed());
}

TEST_P(ReplayTest, APassThatIsEndedBetweenLayersIsForgotten) {
  Runner recorder("bert", recording()), given("bert", plain());
  const EncodePlan plan = recorder.plan();
  recorder.run(plan, {20});  // makes room
  for (const int layers : {0, 1}) {
    const std::vector<int32_t> lengths = {5 + layers};
    const std::vector<float> expected = given.run(given.plan(), lengths);
    const auto ended = [&] {
      int left = layers;
      return recorder.run(plan, lengths, [&] { return left-- > 0; });
    };
    EXPECT_TRUE(ended().empty());  // as it is given
    EXPECT_TRUE(ended().empty());  // while it is recorded
    EXPECT_EQ(recorder.run(plan, lengths), expected);
    EXPECT_EQ(replays, layers);
    EXPECT_EQ(recorder.run(plan, lengths), expected);
    EXPECT_EQ(replays, layers + 1);
  }
}

TEST_P(ReplayTest, ALargeBatchIsGiven) {
  Runner recorder("bert", recording());
  const EncodePlan plan = recorder.plan();
  const std::vector<int32_t> many(43, 6);  // 258 tokens
  for (int i = 0; i < 4; ++i) recorder.run(plan, many);
  EXPECT_EQ(replays, 0);
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ReplayTest);
INSTANTIATE_TEST_SUITE_P(Recording, ReplayTest, testing::ValuesIn(recording_backends()), [](const auto& info) {
  std::string name = info.param->name;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
}  // namespace embedcore::test
