// WeightFiles of base/safetensors.h: a model's directory, single file or shards.
#include <unistd.h>

#include "base/safetensors.h"
#include "base_files.h"

namespace embedcore {
namespace {

constexpr const char* kIndex = "model.safetensors.index.json";

std::string shard(const std::string& name) {
  return safetensors_file("{\"" + name + R"(":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}})", 3);
}

void expect_index_refused(const std::string& index, Code code, std::initializer_list<std::string_view> parts) {
  SCOPED_TRACE(index);
  const TemporaryDirectory directory;
  directory.write("a.safetensors", shard("a"));
  directory.write(kIndex, index);
  expect_error(code, parts, [&] { WeightFiles::open(directory.path()); });
}

TEST(WeightFiles, OneFile) {
  const TemporaryDirectory directory;
  directory.write("model.safetensors", shard("a"));
  for (const std::string& path : {directory.path(), directory.path() + "/"}) {
    const auto weights = WeightFiles::open(path);
    ASSERT_EQ(weights->all().size(), 1u);
    EXPECT_EQ(weights->find("a")->bytes, 3u);
    EXPECT_EQ(weights->find("b"), nullptr);
    EXPECT_TRUE(weights->intact());
    weights->release_pages();
    EXPECT_EQ(weights->find("a")->data[2], std::byte{2});
  }
}

TEST(WeightFiles, TwoHandlesShareTheMapping) {
  const TemporaryDirectory directory;
  directory.write("model.safetensors", shard("a"));
  const auto first = WeightFiles::open(directory.path()), second = WeightFiles::open(directory.path());
  EXPECT_EQ(first->find("a")->data, second->find("a")->data);
}

// A load reads and releases pages without effect on models that serve from the same files.
TEST(WeightFiles, MapAgainHasTheSameTensorsAtOtherAddresses) {
  const TemporaryDirectory directory;
  directory.write("one.safetensors", shard("a"));
  directory.write("two.safetensors", shard("b"));
  directory.write(kIndex, R"({"weight_map":{"b":"two.safetensors","a":"one.safetensors"}})");
  auto weights = WeightFiles::open(directory.path());
  const auto again = weights->map_again();
  for (const char* name : {"a", "b"}) {
    ASSERT_NE(again->find(name), nullptr);
    EXPECT_NE(again->find(name)->data, weights->find(name)->data);
    EXPECT_EQ(std::memcmp(again->find(name)->data, weights->find(name)->data, 3), 0);
  }
  again->release_pages();
  weights.reset();
  // The copy follows the file, not its name.
  std::filesystem::rename(directory / "one.safetensors", directory / "moved");
  EXPECT_EQ(again->find("a")->data[2], std::byte{2});
  EXPECT_TRUE(again->intact());
}

TEST(WeightFiles, Shards) {
  const TemporaryDirectory directory;
  directory.write("one.safetensors", safetensors_file(R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},)"
                                                      R"("unlisted":{"dtype":"U8","shape":[1],"data_offsets":[3,4]}})",
                                                      4));
  directory.write("two.safetensors", shard("b"));
  directory.write(kIndex,
                  R"({"metadata":{"total_size":6},"weight_map":{"b":"two.safetensors","a":"one.safetensors"}})");
  const auto weights = WeightFiles::open(directory.path());
  EXPECT_EQ(weights->all().size(), 2u);
  ASSERT_NE(weights->find("a"), nullptr);
  EXPECT_EQ(weights->find("b")->name, "b");
  EXPECT_EQ(weights->find("unlisted"), nullptr);
  std::filesystem::resize_file(directory / "two.safetensors", 10);
  EXPECT_FALSE(weights->intact());
}

TEST(WeightFiles, FollowsLinksAsInTheHubCache) {
  const TemporaryDirectory directory;
  std::filesystem::create_directory(directory / "blobs");
  std::filesystem::create_directory(directory / "snapshot");
  directory.write("blobs/0123", shard("a"));
  ASSERT_EQ(::symlink("../blobs/0123", (directory / "snapshot/model.safetensors").c_str()), 0);
  EXPECT_NE(WeightFiles::open(directory / "snapshot")->find("a"), nullptr);
}

TEST(WeightFiles, TheSingleFileGoesBeforeTheIndex) {
  const TemporaryDirectory directory;
  directory.write("model.safetensors", shard("a"));
  directory.write(kIndex, "broken");
  EXPECT_NE(WeightFiles::open(directory.path())->find("a"), nullptr);
}

TEST(WeightFiles, BrokenIndexes) {
  expect_index_refused("", Code::kInvalidFile, {kIndex, "line 1 column 1"});
  expect_index_refused("[]", Code::kInvalidFile, {"must be an object with \"weight_map\", got an array of 0"});
  expect_index_refused("{}", Code::kInvalidFile, {"\"weight_map\""});
  expect_index_refused(R"({"weight_map":[]})", Code::kInvalidFile, {"got an array of 0"});
  expect_index_refused(R"({"weight_map":{}})", Code::kInvalidFile, {"got an empty one"});
  expect_index_refused(R"({"weight_map":{"a":1}})", Code::kInvalidFile,
                       {"the shard of tensor \"a\" must be a file name, got 1"});
  expect_index_refused(R"({"weight_map":{"a":"a.safetensors","a":"b.safetensors"}})", Code::kInvalidFile,
                       {"the key \"a\" appears twice"});
}

TEST(WeightFiles, ShardNamesStayInTheDirectory) {
  for (const char* name : {"../a.safetensors", "/etc/passwd", "sub/a.safetensors", "..", ".", "a\\\\b",
                           "a\\u0000.safetensors", "./a.safetensors"})
    expect_index_refused(R"({"weight_map":{"a":")" + std::string(name) + "\"}}", Code::kInvalidFile,
                         {"tensor \"a\"", "not a plain file name"});
  expect_index_refused(R"({"weight_map":{"a":""}})", Code::kInvalidFile, {"which is not a file name"});
}

TEST(WeightFiles, AnIndexThatNamesItselfIsRefused) {
  expect_index_refused(R"({"weight_map":{"a":"model.safetensors.index.json"}})", Code::kInvalidFile,
                       {"the index itself"});
  // Under another name it is a file that is not a safetensors file.
  const TemporaryDirectory directory;
  directory.write(kIndex, R"({"weight_map":{"a":"a.safetensors"}})");
  ASSERT_EQ(::symlink(kIndex, (directory / "a.safetensors").c_str()), 0);
  expect_error(Code::kInvalidFile, {"a.safetensors", "implausible"}, [&] { WeightFiles::open(directory.path()); });
}

TEST(WeightFiles, MissingPartsAreNamed) {
  expect_index_refused(R"({"weight_map":{"a":"a.safetensors","b":"b.safetensors"}})", Code::kNotFound,
                       {"the shard \"b.safetensors\"", "tensor \"b\""});
  expect_index_refused(R"({"weight_map":{"a":"a.safetensors","b":"a.safetensors"}})", Code::kMissingTensor,
                       {"tensor \"b\" is not in its shard \"a.safetensors\""});
}

TEST(WeightFiles, DirectoriesWithoutWeights) {
  const TemporaryDirectory directory;
  expect_error(Code::kNotFound, {"holds neither model.safetensors nor model.safetensors.index.json"},
               [&] { WeightFiles::open(directory.path()); });
  directory.write("pytorch_model.bin", "PK");
  expect_error(Code::kNotFound,
               {"holds pytorch_model.bin but no model.safetensors; convert it", "safe_serialization=True"},
               [&] { WeightFiles::open(directory.path()); });
  expect_error(Code::kNotFound, {"No such file"}, [&] { WeightFiles::open(directory / "missing"); });
  expect_error(Code::kInvalidFile, {"is not a directory"}, [&] { WeightFiles::open(directory / "pytorch_model.bin"); });
  expect_error(Code::kInvalidFile, {"zero byte"}, [] { WeightFiles::open(std::string("a\0b", 3)); });
  std::filesystem::create_directory(directory / "model.safetensors");
  expect_error(Code::kInvalidFile, {"model.safetensors is a directory"}, [&] { WeightFiles::open(directory.path()); });
}

TEST(WeightFiles, ALinkThatLeadsNowhereIsToldNotSkipped) {
  const TemporaryDirectory directory;
  ASSERT_EQ(::symlink("gone", (directory / "model.safetensors").c_str()), 0);
  directory.write(kIndex, R"({"weight_map":{"a":"a.safetensors"}})");
  directory.write("a.safetensors", shard("a"));
  expect_error(Code::kNotFound, {"model.safetensors", "No such file"}, [&] { WeightFiles::open(directory.path()); });
}

}  // namespace
}  // namespace embedcore
