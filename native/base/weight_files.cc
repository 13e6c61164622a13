// WeightFiles (declared in safetensors.h): finds the files of a model's directory that hold its weights.
#include <sys/stat.h>

#include <cerrno>
#include <set>
#include <system_error>

#include "base/error.h"
#include "base/json.h"
#include "base/safetensors.h"

namespace embedcore {

namespace {

constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

// Weights in formats that other programs read; the first that exists is named in the advice.
constexpr const char* kForeign[] = {"pytorch_model.bin", "pytorch_model.bin.index.json",
                                    "tf_model.h5",       "flax_model.msgpack",
                                    "model.onnx",        "onnx/model.onnx"};

std::string beside(const std::string& directory, const std::string& name) {
  return directory.ends_with('/') ? directory + name : directory + "/" + name;
}

// Whether the name exists in any form: a dangling link or a directory of that name is an error, not a reason to look
// elsewhere.
bool is_there(const std::string& path) {
  struct stat status;
  return ::lstat(path.c_str(), &status) == 0;
}

void require_directory(const std::string& directory) {
  if (directory.find('\0') != std::string::npos)
    fail(Code::kInvalidFile, "the path %s holds a zero byte", quote(directory, 400).c_str());
  struct stat status;
  if (::stat(directory.c_str(), &status) != 0) {
    const int error = errno;
    fail(error == ENOENT || error == ENOTDIR ? Code::kNotFound : Code::kInvalidFile,
         "%s: cannot open the model's directory: %s (errno %d)", directory.c_str(),
         std::generic_category().message(error).c_str(), error);
  }
  if (!S_ISDIR(status.st_mode))
    fail(Code::kInvalidFile, "Expected a model's directory but %s is not a directory", directory.c_str());
}

[[noreturn]] void fail_without_weights(const std::string& directory) {
  for (const char* foreign : kForeign)
    if (is_there(beside(directory, foreign)))
      fail(Code::kNotFound,
           "%s holds %s but no %s; convert it once in Python: from transformers import AutoModel; "
           "AutoModel.from_pretrained(\"%s\").save_pretrained(\"%s\", safe_serialization=True)",
           directory.c_str(), foreign, kSingle, directory.c_str(), directory.c_str());
  fail(Code::kNotFound, "%s holds neither %s nor %s", directory.c_str(), kSingle, kIndex);
}

void require_plain_name(const std::string& shard, const std::string& tensor, const std::string& where) {
  auto refuse = [&](const char* why) {
    fail(Code::kInvalidFile, "%s: the shard of tensor %s is %s, %s", where.c_str(), quote(tensor).c_str(),
         quote(shard).c_str(), why);
  };
  if (shard.empty()) refuse("which is not a file name");
  if (shard.find_first_of(std::string_view("/\\\0", 3)) != std::string::npos || shard == "." || shard == "..")
    refuse("which is not a plain file name; shards are beside their index");
  if (shard == kIndex) refuse("the index itself");
}

}  // namespace

std::map<std::string, std::string> parse_shard_index(std::string_view text, const std::string& where) {
  const Json index = Json::parse(text, where);
  const Json* map = index.find("weight_map");
  if (!map)
    fail(Code::kInvalidFile, "%s must be an object with \"weight_map\", got %s", where.c_str(),
         index.is_object() ? "an object without" : index.describe().c_str());
  if (!map->is_object() || map->as_object().empty())
    fail(Code::kInvalidFile, "%s: \"weight_map\" must be an object that names tensors, got %s", where.c_str(),
         map->is_object() ? "an empty one" : map->describe().c_str());
  std::map<std::string, std::string> shards;
  for (const auto& [tensor, shard] : map->as_object()) {
    if (!shard.is_string())
      fail(Code::kInvalidFile, "%s: the shard of tensor %s must be a file name, got %s", where.c_str(),
           quote(tensor).c_str(), shard.describe().c_str());
    require_plain_name(shard.as_string(), tensor, where);
    shards.emplace(tensor, shard.as_string());
  }
  return shards;
}

std::shared_ptr<const WeightFiles> WeightFiles::open(const std::string& directory) {
  require_directory(directory);
  std::shared_ptr<WeightFiles> result(new WeightFiles);
  const std::string single = beside(directory, kSingle), index = beside(directory, kIndex);
  if (is_there(single)) {
    result->files_.push_back(SafeTensors::open(single));
    for (const TensorView& tensor : result->files_.back()->all()) result->add(tensor, *result->files_.back());
  } else if (is_there(index)) {
    const auto file = MappedFile::open(index);
    const auto shards = parse_shard_index(file->text(), index);
    std::map<std::string, const SafeTensors*> opened;
    for (const auto& [tensor, shard] : shards) {
      const SafeTensors*& holder = opened[shard];
      if (!holder) {
        const std::string path = beside(directory, shard);
        if (!is_there(path))
          fail(Code::kNotFound, "%s: the shard %s, which should hold tensor %s, is missing", index.c_str(),
               quote(shard).c_str(), quote(tensor).c_str());
        result->files_.push_back(SafeTensors::open(path));
        holder = result->files_.back().get();
      }
      const TensorView* view = holder->find(tensor);
      if (!view)
        fail(Code::kMissingTensor, "%s: tensor %s is not in its shard %s", index.c_str(), quote(tensor).c_str(),
             quote(shard).c_str());
      result->add(*view, *holder);
    }
  } else {
    fail_without_weights(directory);
  }
  for (const auto& file : result->files_) result->mappings_.push_back(file->mapping());
  // Built last, because the keys are views of the names, which must not move any more.
  for (size_t i = 0; i < result->tensors_.size(); ++i) result->by_name_.emplace(result->tensors_[i].name, i);
  return result;
}

void WeightFiles::add(const TensorView& tensor, const SafeTensors& holder) {
  size_t file = 0;
  while (files_[file].get() != &holder) ++file;
  tensors_.push_back(tensor);
  file_of_.push_back(file);
}

std::shared_ptr<const WeightFiles> WeightFiles::map_again() const {
  std::shared_ptr<WeightFiles> copy(new WeightFiles);
  copy->files_ = files_;
  copy->tensors_ = tensors_;
  copy->file_of_ = file_of_;
  for (const auto& mapping : mappings_) copy->mappings_.push_back(mapping->map_again());
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const size_t file = file_of_[i];
    copy->tensors_[i].data = copy->mappings_[file]->data() + (tensors_[i].data - mappings_[file]->data());
    copy->by_name_.emplace(copy->tensors_[i].name, i);
  }
  return copy;
}

const TensorView* WeightFiles::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &tensors_[found->second];
}

bool WeightFiles::intact() const {
  for (const auto& mapping : mappings_)
    if (!mapping->intact()) return false;
  return true;
}

void WeightFiles::release_pages() const {
  for (const auto& mapping : mappings_) mapping->release_pages();
}

}  // namespace embedcore
