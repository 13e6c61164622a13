// A loaded model: an encoder (transformer or static), its head, and the plans of calls.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/head.h"
#include "model/plan.h"
#include "model/static_encoder.h"
#include "model/transformer_encoder.h"

namespace embedcore {

struct ModelSource {
  bool is_static = false;
  std::string directory;
  std::vector<HeadModule> head;
  std::optional<LayerWeighting> layer_weighting;
  DType dtype = DType::kF32;             // of the transformer's matrix products; a static model has none
  std::optional<AdapterSource> adapter;  // added to the transformer's weights
  bool operator==(const ModelSource&) const = default;
};

// Finished rows in device memory.
struct ResultRows {
  const float* data = nullptr;  // null if the pass was stopped
  int64_t stride = 0, rows = 0;
};

class Model {
 public:
  // keep_loading is called between tensors and may throw to end the load. Throws Error, std::bad_alloc.
  static std::shared_ptr<const Model> load(const ModelSource& source, DevicePointer device,
                                           const KeepLoading& keep_loading = {});

  const TokenEncoder& encoder() const { return *encoder_; }
  // Null if the model is of the other kind.
  const TransformerEncoder* transformer() const { return transformer_; }
  const StaticEncoder* static_encoder() const { return static_; }
  const Backend& backend() const { return encoder_->device().backend(); }
  int64_t vocab() const { return encoder_->vocab(); }
  int64_t max_tokens() const { return encoder_->max_tokens(); }
  size_t weight_bytes() const { return encoder_->weight_bytes(); }

  // Throws Error for options that do not fit the model.
  EncodePlan plan(const PlanOptions& options) const;

  // Encodes a batch: returns rows of texts or tokens, plan.dimension numbers each, in the workspace. On a device they
  // are valid after stream.wait(). Throws Error.
  ResultRows run(const EncodePlan& plan, BatchBuilder& batch, Workspace& workspace, Stream& stream,
                 const TokenEncoder::BetweenLayers& between_layers) const;

 private:
  // The operations of run() after the batch is on the device.
  ResultRows launch(const EncodePlan& plan, const Batch& batch, Layout& layout, const View (&buffers)[2],
                    Stream& stream, const TokenEncoder::BetweenLayers& between_layers) const;

  std::shared_ptr<const TokenEncoder> encoder_;
  const TransformerEncoder* transformer_ = nullptr;
  const StaticEncoder* static_ = nullptr;
  Head head_;
};

}  // namespace embedcore
