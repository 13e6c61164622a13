// The parameters of a model for training: one float32 block with named views. Values, gradients and both moments of an
// optimiser have this same type, so that an update, a norm or a checkpoint is one loop.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "model/config.h"
#include "model/device.h"
#include "model/weights.h"

namespace embedcore {

struct Parameter {
  std::string name;  // of the tensor in the file, without the prefix
  std::vector<int64_t> shape;
  int64_t offset = 0;  // in the block, floats

  int64_t elements() const;
};

// The list of parameters, in the order of the forward pass. The matrices that are stacked to one (queries, keys and
// values) are neighbours, their biases too, so that the stacked matrix is one dense piece. Shared by all blocks of a
// model.
class ParameterList {
 public:
  static std::shared_ptr<const ParameterList> of(const ModelConfig& config);
  using Filter = std::function<bool(const std::string& name)>;
  // More, after the ones there are.
  void add(std::string name, std::vector<int64_t> shape);

  const std::vector<Parameter>& all() const { return parameters_; }
  const Parameter* find(std::string_view name) const;
  int64_t elements() const { return elements_; }

 private:
  void add_norm(const std::string& name, int64_t width, bool bias);
  void add_linear(const std::string& name, int64_t in, int64_t out, bool bias);
  template <typename Rows>
  void add_stacked(const std::string& prefix, const std::vector<std::string>& names, int64_t in, Rows&& rows,
                   bool bias);
  void add_layer(const ModelConfig& config, size_t index);

  std::vector<Parameter> parameters_;
  int64_t elements_ = 0;
};

class Parameters {
 public:
  // Zeros on a device. Throws Error(kOutOfMemory).
  Parameters(std::shared_ptr<const ParameterList> list, DevicePointer device);

  const ParameterList& list() const { return *list_; }
  const std::shared_ptr<const ParameterList>& shared_list() const { return list_; }
  // Device memory, list().elements() floats.
  float* data() const { return static_cast<float*>(block_.get()); }
  // Who holds the memory.
  const std::shared_ptr<void>& block() const { return block_; }
  // The view of one parameter. Throws Error(kMissingTensor).
  float* at(std::string_view name) const;
  // Null if it is not in the list.
  float* find(std::string_view name) const;
  // Fills the first `count` parameters from the tensors of a reader; without a count, all. Throws Error.
  void read(const TensorReader& reader, size_t count);
  // Writes one parameter from host memory, elements() values. Throws Error.
  void write(std::string_view name, const std::vector<float>& values);
  void read(const TensorReader& reader) { read(reader, list_->all().size()); }

 private:
  std::shared_ptr<const ParameterList> list_;
  DevicePointer device_;
  std::shared_ptr<void> block_;
};

// y = x in device memory, with the same bits, also of a negative zero, which axpby would lose.
void copy_floats(const Backend& backend, Stream& stream, const float* x, float* y, int64_t elements);

}  // namespace embedcore
