// Static embeddings: one row per token; the vector of a text is the mean of its rows (sentence-transformers
// StaticEmbedding, model2vec).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "model/token_encoder.h"
#include "model/weights.h"

namespace embedcore {

class StaticEncoder final : public TokenEncoder {
 public:
  // `directory` holds model.safetensors with "embedding.weight" or "embeddings" [vocab, width] in float32, float16,
  // bfloat16, or int8 with "scales" [vocab]; "weights" [vocab] multiplies rows; "mapping" [vocab] maps token ids to
  // rows. Throws Error, std::bad_alloc.
  static std::shared_ptr<const StaticEncoder> load(const std::string& directory, DevicePointer device,
                                                   const KeepLoading& keep_loading);

  int64_t width() const { return width_; }
  const char* file_dtype() const { return file_dtype_; }

  int64_t vocab() const override { return vocab_; }
  int64_t max_tokens() const override { return 0; }
  size_t weight_bytes() const override { return table_.bytes(); }
  int64_t parameters() const override { return rows_ * width_; }
  ForwardPlan plan(const PlanOptions& options) const override;
  int64_t width(const ForwardPlan&) const override { return width_; }
  bool pools_itself() const override { return true; }
  void write_indices(std::span<const int32_t> ids, int32_t* indices) const override;
  void place(Layout& layout, const EncodePlan& plan, int64_t texts, int64_t tokens) const override;
  View forward(Layout& layout, const EncodePlan& plan, const Batch& batch, Stream& stream,
               const BetweenLayers& between_layers) const override;

 private:
  explicit StaticEncoder(DevicePointer device) : TokenEncoder(std::move(device)) {}
  View place_rows(Layout& layout, const EncodePlan& plan, int64_t texts, int64_t tokens) const {
    return layout.rows(plan.token_output ? tokens : texts, width_);
  }

  Table table_;
  DeviceArray<float> scales_, weights_;
  std::vector<int32_t> mapping_;  // token id -> row; empty = the same
  int64_t vocab_ = 0, rows_ = 0, width_ = 0;
  const char* file_dtype_ = "";
};

}  // namespace embedcore
