// Loading and planning with memory that fails at every allocation in turn: each attempt ends with a model or with
// kOutOfMemory, and frees all its memory.
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "base/error.h"
#include "cpu/dispatch.h"
#include "failing_memory.h"
#include "model/model.h"
#include "reference/device_backend.h"

namespace embedcore::test {
namespace {

const std::string kGolden = std::string(EMBEDCORE_ROOT) + "/test/golden/";

// body() must free what it allocates.
void expect_survives(const char* operation, const std::function<void()>& body) {
  body();  // creates everything that is created once in a process
  for_each_allocation(operation, [&](int64_t n) {
    const int64_t before = live_blocks;
    bool failed = false;
    {
      const MemoryFailure failure(Whose::kThisThread, n);
      try {
        body();
      } catch (const std::bad_alloc&) {
      } catch (const Error& error) {
        EXPECT_EQ(error.code, Code::kOutOfMemory) << error.what();
      }
      failed = MemoryFailure::happened();
    }
    EXPECT_EQ(live_blocks, before);
    return failed;
  });
}

ModelSource transformer(const std::string& name, DType dtype = DType::kF32) {
  ModelSource source;
  source.directory = kGolden + name;
  source.dtype = dtype;
  return source;
}

ModelSource with_head() {
  ModelSource source = transformer("stack/weightedmean-dense-residual");
  for (const char* module : {"/2_Dense", "/3_Dense"})
    source.head.push_back({.kind = HeadModule::Kind::kDense,
                           .directory = source.directory + module,
                           .in = 16,
                           .out = module[1] == '2' ? 16 : 10,
                           .residual = true,
                           .activation = Activation::kGelu});
  source.head.push_back({});
  return source;
}

ModelSource with_layer_weights() {
  ModelSource source = transformer("stack/weighted-layers");
  source.layer_weighting = LayerWeighting{source.directory + "/1_WeightedLayerPooling", 1};
  return source;
}

ModelSource with_table(const std::string& name) {
  ModelSource source = transformer("stack/" + name);
  source.is_static = true;
  return source;
}

class ModelMemory : public testing::TestWithParam<const Backend*> {
 protected:
  void expect_load_survives(const char* operation, const ModelSource& source) {
    expect_survives(operation, [&] { Model::load(source, OpenDevice::open(*GetParam())); });
  }
};
INSTANTIATE_TEST_SUITE_P(Every, ModelMemory, testing::Values(&default_cpu_backend(), &reference_device_backend()),
                         [](const auto& info) { return info.param->host_memory ? "cpu" : "device"; });

TEST_P(ModelMemory, LoadsATransformer) { expect_load_survives("a load of bert", transformer("models/bert")); }
TEST_P(ModelMemory, LoadsOneInInt8) {
  expect_load_survives("a load of qwen2 in int8", transformer("models/qwen2", DType::kI8));
}
TEST_P(ModelMemory, LoadsRelativePositions) { expect_load_survives("a load of mpnet", transformer("models/mpnet")); }
TEST_P(ModelMemory, LoadsAHead) { expect_load_survives("a load of modules", with_head()); }
TEST_P(ModelMemory, LoadsLayerWeights) { expect_load_survives("a load of layer weights", with_layer_weights()); }
TEST_P(ModelMemory, LoadsATable) { expect_load_survives("a load of a table", with_table("static-int8")); }

TEST_P(ModelMemory, Plans) {
  const auto model = Model::load(with_head(), OpenDevice::open(*GetParam()));
  PlanOptions options;
  options.pooling = {Pooling::kMean};
  options.states = {0, 1};
  options.attention = {Mask::kCausal};
  expect_survives("a plan", [&] { static_cast<void>(model->plan(options)); });
}

TEST_P(ModelMemory, Uploads) {
  const auto device = OpenDevice::open(*GetParam());
  const float values[4] = {1, 2, 3, 4};
  expect_survives("an upload", [&] { DeviceArray<float>(*device, values); });
}

}  // namespace
}  // namespace embedcore::test
