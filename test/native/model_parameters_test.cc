// model/parameters.h on the golden models of every family: the parameters are the tensors of the file.
#include "model/parameters.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "base/mapped_file.h"
#include "reference/backend.h"
#include "reference/device_backend.h"

namespace embedcore::test {
namespace {

namespace fs = std::filesystem;
const std::string kModels = std::string(EMBEDCORE_ROOT) + "/test/golden/models/";

struct Golden {
  explicit Golden(const std::string& directory)
      : files(WeightFiles::open(directory)),
        config_file(MappedFile::open(directory + "/config.json")),
        config(parse_model_config(Json::parse(config_file->text(), "config.json"))),
        list(ParameterList::of(config)) {}
  TensorReader reader(const Backend& backend) const {
    return {OpenDevice::open(backend), files, "golden", config.names.prefixes, config.input.tables.front().name};
  }
  std::shared_ptr<const WeightFiles> files;
  std::shared_ptr<const MappedFile> config_file;
  ModelConfig config;
  std::shared_ptr<const ParameterList> list;
};

TEST(Parameters, AreOneBlockWithoutGapsInEveryFamily) {
  for (const auto& entry : fs::directory_iterator(kModels)) {
    SCOPED_TRACE(entry.path().string());
    const Golden golden(entry.path().string());
    int64_t next = 0;
    std::set<std::string> names;
    for (const Parameter& parameter : golden.list->all()) {
      EXPECT_EQ(parameter.offset, next) << parameter.name;
      next += parameter.elements();
      EXPECT_TRUE(names.insert(parameter.name).second) << parameter.name;
    }
    EXPECT_EQ(golden.list->elements(), next);
    EXPECT_GT(names.size(), golden.config.layers.size() * 6);
  }
}

TEST(Parameters, HoldTheValuesOfTheFile) {
  for (const auto& entry : fs::directory_iterator(kModels)) {
    SCOPED_TRACE(entry.path().string());
    const Golden golden(entry.path().string());
    const TensorReader reader = golden.reader(reference_backend());
    Parameters values(golden.list, OpenDevice::open(reference_backend()));
    values.read(reader);
    for (const Parameter& parameter : golden.list->all()) {
      const std::vector<float> wanted = reader.floats(parameter.name, parameter.shape);
      const float* at = values.at(parameter.name);
      EXPECT_TRUE(std::equal(wanted.begin(), wanted.end(), at)) << parameter.name;
    }
  }
}

TEST(Parameters, GradientsBeginAtZeroAndShareTheList) {
  const Golden golden(kModels + "bert");
  const Parameters gradients(golden.list, OpenDevice::open(reference_backend()));
  EXPECT_EQ(&gradients.list(), golden.list.get());
  for (int64_t i = 0; i < golden.list->elements(); ++i) ASSERT_EQ(gradients.data()[i], 0.0f);
}

TEST(Parameters, WorkOnADevice) {
  const Golden golden(kModels + "qwen3");
  const DevicePointer device = OpenDevice::open(reference_device_backend());
  Parameters values(golden.list, device);
  values.read(golden.reader(reference_device_backend()));
  std::vector<float> back(static_cast<size_t>(golden.list->elements()));
  OpenStream stream(device);
  ASSERT_EQ(device->backend().download(stream, back.data(), values.data(), back.size() * sizeof(float)), kOk);
  stream.wait();
  const TensorReader reader = golden.reader(reference_backend());
  for (const Parameter& parameter : golden.list->all()) {
    const std::vector<float> wanted = reader.floats(parameter.name, parameter.shape);
    EXPECT_TRUE(std::equal(wanted.begin(), wanted.end(), back.begin() + parameter.offset)) << parameter.name;
  }
}

TEST(Parameters, AnUnknownNameIsRefused) {
  const Golden golden(kModels + "bert");
  const Parameters values(golden.list, OpenDevice::open(reference_backend()));
  try {
    values.at("no such tensor");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code, Code::kMissingTensor);
  }
}

}  // namespace
}  // namespace embedcore::test
