// The weights of an encoder in training: what is trained is float32 in one block of parameters (masters), with a
// block of gradients of the same list; matrices are packed from it again after each step. Frozen weights are loaded as
// for inference.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/adapter.h"
#include "model/adapter_file.h"
#include "model/parameters.h"
#include "model/relative_bias.h"
#include "model/rope.h"
#include "model/weights.h"
#include "train/token_row.h"

namespace embedcore {

// A low-rank update of one matrix, as PEFT names it: <module>.lora_A.weight and <module>.lora_B.weight.
struct LoraSpec {
  std::string module;  // "encoder.layer.0.attention.self.query"
  int64_t rank = 0;
  float scale = 0;  // alpha / rank, or alpha / sqrt(rank)
  float dropout = 0;
};

struct TrainedLora {
  int64_t first = 0, count = 0, rank = 0;
  float *a = nullptr, *b = nullptr, *da = nullptr, *db = nullptr;
  float scale = 0, dropout = 0;
  int64_t number = 0;  // of the parts of the layer
};

// A matrix of a layer; null pointers are frozen.
struct TrainedLinear {
  int64_t in = 0, out = 0;
  float *weight = nullptr, *bias = nullptr, *dweight = nullptr, *dbias = nullptr;
  std::vector<TrainedLora> lora;
  bool trained() const { return dweight || dbias || !lora.empty(); }
};

struct TrainedNorm {
  float *dweight = nullptr, *dbias = nullptr;
  bool trained() const { return dweight || dbias; }
};

struct TrainedLayer {
  LayerWeights weights;
  TrainedLinear qkv, output, up, down;
  TrainedNorm attention_norm, mlp_norm;
  float *dq_norm = nullptr, *dk_norm = nullptr;
  bool trained() const;
};

// Low-rank parts that a layer may have: sites of dropout are reserved for so many (model/layer.h).
constexpr int64_t kMostLayerParts = 8;

struct WeightOptions {
  bool is_static = false;        // a static model: its whole table is trained (model/static_table.h)
  DType dtype = DType::kF32;     // of the matrix products: kF32 or kBF16
  ParameterList::Filter trains;  // whether the parameter of this name is trained; empty = all of them
  std::vector<LoraSpec> lora;
  std::optional<AdapterSource> adapter;  // the first values of LoRA; without it A is random and B zeros
  std::optional<TokenRow> token_row;     // of the table of tokens, trained also where the table is not
  uint64_t seed = 0;                     // of random first values
};

class TrainedWeights {
 public:
  // Reads a model's directory. Throws Error, std::bad_alloc.
  TrainedWeights(const std::string& directory, DevicePointer device, const WeightOptions& options,
                 const KeepLoading& keep_loading);

  const OpenDevice& device() const { return *device_; }
  const DevicePointer& shared_device() const { return device_; }
  const std::string& directory() const { return directory_; }
  // Memory of packed matrices, and of a frozen table with a trained row.
  size_t packed_bytes() const;
  const ModelConfig& config() const { return config_; }
  DType dtype() const { return dtype_; }
  const Parameters& values() const { return *values_; }
  const Parameters& gradients() const { return *gradients_; }

  const std::vector<TrainedLayer>& layers() const { return layers_; }
  // Tables of config().input.tables; their gradients, null = frozen.
  const std::vector<EmbedTable>& tables() const { return table_rows_; }
  const std::vector<float*>& table_gradients() const { return table_gradients_; }
  // The token whose row is all that is trained of the table of tokens, and has the gradient [1, hidden]; -1 = none.
  int64_t only_token() const { return only_token_; }
  const NormWeights& embedding_norm() const { return embedding_norm_; }
  const NormWeights& final_norm() const { return final_norm_; }
  const TrainedNorm& embedding_norm_gradients() const { return embedding_norm_gradients_; }
  const TrainedNorm& final_norm_gradients() const { return final_norm_gradients_; }
  const std::shared_ptr<RopeTable>& rope(size_t layer) const { return ropes_[layer]; }
  RelativeBias* relative_bias() const { return relative_bias_.get(); }
  float* relative_bias_gradient() const { return relative_bias_gradient_; }
  // The lowest layer with anything to train; the number of layers if there is none, 0 if anything below is trained.
  size_t first_trained_layer() const { return first_trained_layer_; }
  bool trains_embeddings() const { return trains_embeddings_; }

  // Of the low-rank update of this module.
  float lora_scale(const std::string& module) const;

  // Makes packed matrices and tables of relative positions follow the values. Nobody may use them meanwhile.
  void follow_values(Stream& stream);

 private:
  void read_static(const KeepLoading& keep_loading);
  void read_layer(const TensorReader& reader, size_t index, const WeightOptions& options);
  // The values of the token row, or of a table that grows; read from the file's rows.
  void read_token_row(const TensorReader& reader, int64_t file_rows, const WeightOptions& options);
  void read_outside(const TensorReader& reader);
  TrainedNorm view_norm(const std::string& name, NormWeights& weights) const;
  TrainedLinear view_linear(const std::vector<std::string>& names, int64_t in, int64_t out,
                            const std::vector<int64_t>& parts, const WeightOptions& options, int64_t& number) const;
  void fill_lora(Stream& stream, const WeightOptions& options);
  void follow_relative_bias(Stream& stream);

  const std::string directory_;
  const DevicePointer device_;
  const DType dtype_;
  const std::vector<LoraSpec> lora_;
  ModelConfig config_;
  std::unique_ptr<Parameters> values_, gradients_;
  std::vector<Table> tables_;  // frozen ones
  std::vector<EmbedTable> table_rows_;
  std::vector<float*> table_gradients_;
  int64_t only_token_ = -1;
  std::shared_ptr<void> token_table_;  // [rows, hidden] f32, frozen but for the row of only_token_; null without
  NormWeights embedding_norm_, final_norm_;
  TrainedNorm embedding_norm_gradients_, final_norm_gradients_;
  std::shared_ptr<RelativeBias> relative_bias_;
  float* relative_bias_gradient_ = nullptr;
  std::vector<TrainedLayer> layers_;
  std::vector<std::shared_ptr<RopeTable>> ropes_;
  size_t first_trained_layer_ = 0;
  bool trains_embeddings_ = false;
};

}  // namespace embedcore
