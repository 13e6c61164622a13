// Tensors in safetensors files, read in place from the mapping. Every statement of a header (offsets, shapes, dtypes)
// is checked against the file before a view is made, so a TensorView can be read without further checks. Errors name
// file, tensor and value: kNotFound for absent files, kMissingTensor for a tensor that the index lists but its shard
// does not have, otherwise kInvalidFile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/dtype.h"
#include "base/mapped_file.h"

namespace embedcore {

struct TensorView {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  const std::byte* data = nullptr;  // not always aligned; read only
  size_t bytes = 0;

  int64_t elements() const;  // 1 for a scalar, whose shape is empty
};

// "[30522, 384]"
std::string shape_string(const std::vector<int64_t>& shape);

// One file. Keeps its mapping alive.
class SafeTensors {
 public:
  static std::shared_ptr<const SafeTensors> open(const std::string& path);
  // The bytes must outlive the result; `where` names them in errors.
  static std::shared_ptr<const SafeTensors> parse(std::span<const std::byte> bytes, const std::string& where);

  const std::string& path() const { return path_; }
  const std::vector<TensorView>& all() const { return tensors_; }  // in the order of their bytes
  const TensorView* find(std::string_view name) const;
  const std::shared_ptr<const MappedFile>& mapping() const { return file_; }  // null after parse()

 private:
  SafeTensors() = default;
  void read(std::span<const std::byte> bytes);

  std::string path_;
  std::shared_ptr<const MappedFile> file_;
  std::vector<TensorView> tensors_;
  std::unordered_map<std::string_view, size_t> by_name_;
};

// model.safetensors.index.json: the shard of each tensor. Shard names are plain names of files in the same directory.
std::map<std::string, std::string> parse_shard_index(std::string_view text, const std::string& where);

// The weights of a model's directory: model.safetensors, or the shards that model.safetensors.index.json lists.
class WeightFiles {
 public:
  static std::shared_ptr<const WeightFiles> open(const std::string& directory);

  const TensorView* find(std::string_view name) const;
  const std::vector<TensorView>& all() const { return tensors_; }
  // The same tensors in separate mappings (MappedFile::map_again).
  std::shared_ptr<const WeightFiles> map_again() const;

  // Whether every file still has its bytes (base/mapped_file.h).
  bool intact() const;
  void release_pages() const;

 private:
  WeightFiles() = default;
  void add(const TensorView& tensor, const SafeTensors& holder);

  std::vector<std::shared_ptr<const SafeTensors>> files_;
  std::vector<std::shared_ptr<const MappedFile>> mappings_;  // one for each file
  std::vector<size_t> file_of_;                              // one for each tensor
  std::vector<TensorView> tensors_;
  std::unordered_map<std::string_view, size_t> by_name_;
};

}  // namespace embedcore
