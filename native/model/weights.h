// Weights as a model holds them: packed matrices, small float32 vectors, tables that stay in their file. Made once at
// load.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/safetensors.h"
#include "model/config.h"
#include "model/smoothing.h"
#include "ops/linear.h"

namespace embedcore {

// A packed matrix and the backend that knows its layout.
class Linear {
 public:
  Linear() = default;
  Linear(const Backend& backend, const LinearWeights& weights);
  const PackedLinear* get() const { return packed_.get(); }
  size_t bytes() const { return packed_ ? packed_->bytes : 0; }

 private:
  std::shared_ptr<PackedLinear> packed_;
};

// Rows of float32: a view into the mapped file where that is float32 already, else a converted copy.
class Table {
 public:
  const float* data() const { return data_; }
  size_t owned_bytes() const { return copy_.size() * sizeof(float); }

 private:
  friend class TensorReader;
  const float* data_ = nullptr;
  std::vector<float> copy_;
};

struct NormWeights {
  std::vector<float> weight, bias;  // bias empty where the norm has none
};

struct LayerWeights {
  Linear qkv, output, up, down;
  NormWeights attention_norm, mlp_norm;
  std::vector<float> q_norm, k_norm;
};

// Takes tensors out of files by name, with their shapes checked and every value finite; errors name file and tensor.
class TensorReader {
 public:
  // One of the prefixes must make `probe` a tensor of the files; it is put before every other name.
  TensorReader(std::shared_ptr<const WeightFiles> files, std::string directory,
               const std::vector<std::string>& prefixes, const std::string& probe);

  std::vector<float> vector(const std::string& name, int64_t size) const;
  Table table(const std::string& name, int64_t rows, int64_t columns) const;
  NormWeights norm(const std::string& name, int64_t size, bool bias) const;
  // The matrices of `names` stacked along their outputs, which add up to `out`; bias from "<name>.bias". dtype: of the
  // arithmetic. inputs, where given: what the matrix is to be smoothed for.
  Linear linear(const Backend& backend, DType dtype, const std::vector<std::string>& names, int64_t in, int64_t out,
                bool bias, const InputSizes* inputs = nullptr) const;
  const TensorView& find(const std::string& name) const;
  const TensorView* find_optional(const std::string& name) const;

 private:
  void append(const TensorView& view, std::vector<float>& to) const;

  std::shared_ptr<const WeightFiles> files_;
  std::string directory_, prefix_;
};

LayerWeights read_layer(const TensorReader& reader, const Backend& backend, DType dtype, const ModelConfig& config,
                        size_t index, const LayerInputSizes* inputs = nullptr);

void check_finite(std::span<const float> values, const std::string& name);

}  // namespace embedcore
