// A transformer over packed token ids: embed -> layers -> final norm, with the selected hidden states fused on the way.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/adapter_weights.h"
#include "model/layer.h"
#include "model/relative_bias.h"
#include "model/token_encoder.h"

namespace embedcore {

// sentence-transformers' WeightedLayerPooling: hidden states layer_start .. L averaged with learned weights.
struct LayerWeighting {
  std::string directory;
  int64_t layer_start = 0;
  bool operator==(const LayerWeighting&) const = default;
};

class TransformerEncoder final : public TokenEncoder {
 public:
  // Reads and packs everything. dtype: of the matrix products. adapter: added to the matrices before they are packed.
  // Throws Error, std::bad_alloc.
  static std::shared_ptr<const TransformerEncoder> load(const std::string& directory, DevicePointer device, DType dtype,
                                                        const std::optional<LayerWeighting>& weighting,
                                                        const std::optional<AdapterSource>& adapter,
                                                        const KeepLoading& keep_loading);

  const ModelConfig& config() const { return config_; }
  DType dtype() const { return dtype_; }
  // The dtype of the word embeddings in the file.
  const char* file_dtype() const { return file_dtype_; }

  int64_t vocab() const override { return config_.vocab; }
  int64_t max_tokens() const override;
  size_t weight_bytes() const override { return weight_bytes_; }
  int64_t parameters() const override { return parameters_; }
  ForwardPlan plan(const PlanOptions& options) const override;
  int64_t width(const ForwardPlan& plan) const override;
  bool pools_itself() const override { return false; }
  void write_indices(std::span<const int32_t> ids, int32_t* indices) const override;
  void place(Layout& layout, const EncodePlan& plan, int64_t texts, int64_t tokens) const override;
  View forward(Layout& layout, const EncodePlan& plan, const Batch& batch, Stream& stream,
               const BetweenLayers& between_layers) const override;
  void add_to_replay_key(const Batch& batch, std::vector<uint64_t>& key) const override;

 private:
  TransformerEncoder(DevicePointer device, DType dtype) : TokenEncoder(std::move(device)), dtype_(dtype) {}

  // Memory of a pass in addition to the layers: the residual stream, the fused states, and the start of the layers'
  // memory.
  struct Placed {
    View hidden, fused;
    size_t layers;
  };
  Placed place_outside(Layout& layout, const ForwardPlan& plan, int64_t tokens) const;
  LayerActivations place_inside(Layout& layout, const Placed& placed, size_t layer, int64_t tokens) const;

  // Of values between two products; int8 goes through bfloat16 where the device has it.
  DType activation_dtype() const;
  void embed(const std::vector<Table>& tables, const Batch& batch, Stream& stream, const View& hidden) const;
  void norm(const NormWeights& weights, int64_t tokens, Stream& stream, const View& hidden) const;
  void run_layer(size_t layer, const ForwardPlan::Layer& attention, const LayerWeights& weights, const Batch& batch,
                 Stream& stream, const LayerActivations& at) const;
  void fuse_state(const ForwardPlan& plan, int64_t state, int64_t tokens, Stream& stream, const Placed& placed) const;
  void read_weighting(const LayerWeighting& weighting);
  std::vector<LayerInputScales> measure_inputs(const TensorReader& reader) const;

  const DType dtype_;
  ModelConfig config_;
  std::vector<Table> tables_;  // one for each of config_.input.tables
  NormWeights embedding_norm_, final_norm_;
  std::shared_ptr<RelativeBias> relative_bias_;  // null = none
  std::vector<LayerWeights> layers_;
  std::vector<std::shared_ptr<RopeTable>> ropes_;  // one for each layer, shared between layers of the same spec
  std::vector<float> layer_factors_;  // of the learned weighting, for states layer_start_ .. L; empty = no weighting
  int64_t layer_start_ = 0;
  size_t weight_bytes_ = 0;
  int64_t parameters_ = 0;
  const char* file_dtype_ = "";
};

}  // namespace embedcore
