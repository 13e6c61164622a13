// The weights of a model on its device: packed matrices, small float32 vectors, embedding tables. They are created
// once, at load.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/safetensors.h"
#include "model/adapter_file.h"
#include "model/config.h"
#include "model/device.h"
#include "model/smoothing.h"
#include "ops/embed.h"
#include "ops/linear.h"

namespace embedcore {

// A packed matrix and the backend that knows its layout.
class Linear {
 public:
  Linear() = default;
  Linear(const OpenDevice& device, const LinearWeights& weights);
  const PackedLinear* get() const { return packed_.get(); }
  // Packs new values (Backend::repack_linear). Nobody may use the matrix at the same time.
  void repack(const Backend& backend, Stream& stream, const float* weight, const float* bias);
  size_t bytes() const { return packed_ ? packed_->bytes : 0; }

 private:
  std::shared_ptr<PackedLinear> packed_;
};

// Rows of a table, in the dtype of the file: a view of the mapped file if device memory is host memory, else a copy.
class Table {
 public:
  const void* data() const { return data_; }
  DType dtype() const { return dtype_; }
  size_t bytes() const { return bytes_; }

 private:
  friend class TensorReader;
  const void* data_ = nullptr;
  DType dtype_ = DType::kF32;
  size_t bytes_ = 0;
  std::shared_ptr<void> owned_;               // the copy
  std::shared_ptr<const WeightFiles> files_;  // the mapping
};

struct NormWeights {
  DeviceArray<float> weight, bias;  // bias is empty if the norm has none
};

struct LayerWeights {
  Linear qkv, output, up, down;
  NormWeights attention_norm, mlp_norm;
  DeviceArray<float> q_norm, k_norm;
  size_t bytes() const { return qkv.bytes() + output.bytes() + up.bytes() + down.bytes(); }
};

// Called between the tensors of a load; throws to end it.
using KeepLoading = std::function<void()>;

// Reads tensors from files by name and checks that their shapes fit and all values are finite; errors name file and
// tensor. It has separate mappings, so that releasing their pages does not affect a model that serves from the same
// file.
class TensorReader {
 public:
  // One of the prefixes must make `probe` a tensor of the files; it is put before every other name.
  TensorReader(DevicePointer device, std::shared_ptr<const WeightFiles> files, std::string directory,
               const std::vector<std::string>& prefixes, const std::string& probe, KeepLoading keep_loading = {});

  // Matrices read from now on have these low-rank updates added, in float32; null = none.
  void add_updates(std::shared_ptr<const AdapterFile> updates) { updates_ = std::move(updates); }

  std::vector<float> floats(const std::string& name, const std::vector<int64_t>& shape) const;
  DeviceArray<float> vector(const std::string& name, int64_t size) const;
  Table table(const std::string& name, int64_t rows, int64_t columns) const;
  // In the dtype of the file if it is one of `dtypes`, else converted to float32.
  Table table_of(const TensorView& view, std::span<const DType> dtypes) const;
  // The same table in the reader's own mapping: for a pass while loading, whose pages go with release_pages().
  Table while_loading(const Table& table, const std::string& name) const;
  NormWeights norm(const std::string& name, int64_t size, bool bias) const;
  // The matrices of `names` stacked along their outputs, which add up to `out`; bias from "<name>.bias". dtype: of the
  // arithmetic. inputs: if given, the channel sizes for smoothing.
  Linear linear(DType dtype, const std::vector<std::string>& names, int64_t in, int64_t out, bool bias,
                const InputScales* inputs = nullptr, LinearUse use = LinearUse::kForward) const;
  const TensorView& find(const std::string& name) const;
  const TensorView* find_optional(const std::string& name) const;

  const OpenDevice& device() const { return *device_; }
  // Says that the tensors read so far are not read again soon.
  void release_pages() const { reading_->release_pages(); }
  // Throws if a file was truncated while it was read.
  void check_intact() const;

 private:
  DevicePointer device_;
  std::shared_ptr<const WeightFiles> files_, reading_;
  std::string directory_, prefix_;
  KeepLoading keep_loading_;
  std::shared_ptr<const AdapterFile> updates_;  // null = none
};

LayerWeights read_layer(const TensorReader& reader, DType dtype, const ModelConfig& config, size_t index,
                        const LayerInputScales* inputs = nullptr, LinearUse use = LinearUse::kForward);

// Throws Error if a value is infinite or NaN. Reads the tensor piece by piece.
void check_finite(const TensorView& view);

}  // namespace embedcore
