// A loaded model: an encoder (transformer or static), its head, and the plans that calls are made with.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/encoder.h"
#include "model/head.h"
#include "model/static_encoder.h"
#include "ops/pool.h"

namespace embedcore {

// sentence-transformers' WeightedLayerPooling: hidden states layer_start .. L averaged with learned weights.
struct LayerWeighting {
  std::string directory;
  int64_t layer_start = 0;
};

struct ModelSource {
  bool is_static = false;
  std::string directory;
  std::vector<HeadModule> head;
  std::optional<LayerWeighting> layer_weighting;
  DType dtype = DType::kF32;  // of the transformer's matrix products; a static model has none
};

struct PlanOptions {
  std::vector<Pooling> pooling;
  std::vector<int64_t> states;  // empty = the model's own: the last, or the learned weighting
  bool concat = false;
  std::vector<Mask> attention;
  bool token_output = false;
  std::optional<bool> normalize;
  int64_t dimensions = 0;
};

// Options made sure of and turned into what a pass needs. Calls whose plans have equal keys may share a pass.
struct EncodePlan {
  ForwardPlan forward;
  std::string key;
  std::vector<Pooling> pooling;
  bool token_output = false;
  bool apply_normalize = true;  // the head's normalise modules
  bool normalize_last = false;  // after truncation
  int64_t pooled = 0;           // width after pooling
  int64_t stride = 0;           // widest row on the way
  int64_t dimension = 0;        // width of a finished row
};

class Model {
 public:
  static std::shared_ptr<const Model> load(const ModelSource& source, const Backend& backend);

  bool is_static() const { return static_ != nullptr; }
  const Encoder* encoder() const { return encoder_.get(); }
  const StaticEncoder* static_encoder() const { return static_.get(); }
  int64_t vocab() const { return static_ ? static_->vocab() : encoder_->config().vocab; }
  int64_t max_tokens() const { return static_ ? 0 : encoder_->max_tokens(); }
  size_t weight_bytes() const { return static_ ? static_->weight_bytes() : encoder_->weight_bytes(); }

  EncodePlan plan(const PlanOptions& options) const;

  // Encodes a group: returns [rows, plan.dimension] with a row stride of plan.stride inside the workspace, rows = texts
  // or tokens; null when between_layers said stop. Resets the workspace.
  const float* run(const EncodePlan& plan, const Group& group, Workspace& workspace, Scope& scope,
                   const std::function<bool()>& between_layers) const;

 private:
  std::shared_ptr<const Encoder> encoder_;
  std::shared_ptr<const StaticEncoder> static_;
  Head head_;
  std::vector<float> layer_factors_;  // of the learned weighting, for states layer_start_ .. L
  int64_t layer_start_ = 0;
};

}  // namespace embedcore
