// A transformer encoder over packed token ids: embed -> layers -> final norm, hidden states chosen and joined on the
// way.
#pragma once

#include <functional>
#include <memory>

#include "model/layer.h"
#include "model/workspace.h"

namespace embedcore {

// Which hidden states an encode wants and how each layer attends. Numbering as in transformers: 0 = embeddings, L =
// last.
struct ForwardPlan {
  struct Layer {
    Mask mask;
    int64_t window;
  };
  std::vector<Layer> layers;    // as many as must run
  std::vector<int64_t> states;  // ascending when averaged, as given when concatenated
  std::vector<float> factors;   // one a state
  bool concat = false;
  bool only_last = true;  // states = {L}: nothing to join
};

class Encoder {
 public:
  // Reads and packs everything. Throws Error, std::bad_alloc.
  static std::shared_ptr<const Encoder> load(const std::string& directory, const Backend& backend, DType dtype);

  const ModelConfig& config() const { return config_; }
  const Backend& backend() const { return backend_; }
  int64_t width(const ForwardPlan& plan) const {
    return plan.concat ? config_.hidden * static_cast<int64_t>(plan.states.size()) : config_.hidden;
  }
  // Tokens a text may have; 0 = no limit.
  int64_t max_tokens() const;
  // Memory of the packed weights and tables; elements of all tensors of the files; dtype of the word embeddings in the
  // file.
  size_t weight_bytes() const { return weight_bytes_; }
  int64_t parameters() const { return parameters_; }
  const char* file_dtype() const { return file_dtype_; }
  // Of the matrix products: float32, bfloat16 or int8.
  DType dtype() const { return dtype_; }

  // Fills in plan.layers for one mask kind a layer (empty = the model's own; one = all).
  std::vector<ForwardPlan::Layer> attention_plan(const std::vector<Mask>& masks) const;

  // Floats that forward cuts from the workspace.
  size_t workspace_floats(const ForwardPlan& plan, int64_t tokens) const;

  // Returns [tokens, width(plan)] inside the workspace. `between_layers` is called before each layer; false stops, and
  // null is returned.
  const float* forward(const ForwardPlan& plan, const Group& group, Workspace& workspace, Stream& stream,
                       const std::function<bool()>& between_layers) const;

 private:
  Encoder(const Backend& backend, DType dtype) : backend_(backend), dtype_(dtype) {}
  DType activation_dtype() const { return dtype_ == DType::kF32 ? DType::kF32 : DType::kBF16; }
  void embed(const Group& group, Workspace& workspace, Stream& stream, float* hidden) const;
  void norm(const NormWeights& weights, int64_t tokens, Stream& stream, float* hidden) const;
  const float* forward_watched(const ForwardPlan& plan, const Group& group, Workspace& workspace, Stream& stream,
                               const std::function<bool()>& between_layers,
                               std::vector<LayerInputSizes>* watched) const;
  std::vector<LayerInputSizes> measure_inputs(const TensorReader& reader);
  void keep_state(const ForwardPlan& plan, int64_t state, int64_t tokens, Stream& stream, const float* hidden,
                  float* joined) const;
  std::vector<float> relative_bias(int64_t reach) const;

  const Backend& backend_;
  DType dtype_;
  ModelConfig config_;
  std::shared_ptr<const WeightFiles> files_;  // keeps the tables' mapping
  Table word_, position_;
  std::vector<float> type_;  // row 0
  NormWeights embedding_norm_, final_norm_;
  std::vector<float> relative_table_;  // [buckets, heads]
  std::vector<LayerWeights> layers_;
  std::vector<std::shared_ptr<RopeTable>> ropes_;  // one a layer, shared between layers of the same spec
  size_t weight_bytes_ = 0;
  int64_t parameters_ = 0;
  const char* file_dtype_ = "";
};

}  // namespace embedcore
