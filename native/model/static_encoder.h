// Static embeddings: one row a token, a text is the mean of its rows (sentence-transformers StaticEmbedding,
// model2vec).
#pragma once

#include <memory>
#include <string>

#include "base/safetensors.h"
#include "model/layer.h"
#include "model/workspace.h"

namespace embedcore {

class StaticEncoder {
 public:
  // `directory` holds model.safetensors with "embedding.weight" or "embeddings" [vocab, width] in float32, float16,
  // bfloat16, or int8 with "scales" [vocab]; "weights" [vocab] multiplies rows; "mapping" [vocab] sends token ids to
  // rows.
  static std::shared_ptr<const StaticEncoder> load(const std::string& directory, const Backend& backend);

  int64_t vocab() const { return vocab_; }
  int64_t width() const { return width_; }
  const Backend& backend() const { return backend_; }
  size_t weight_bytes() const { return bytes_; }
  int64_t parameters() const { return rows_ * width_; }
  const char* file_dtype() const { return dtype_name(dtype_); }

  // Floats that a call cuts from the workspace.
  static size_t workspace_floats(int64_t tokens) { return 2 * Workspace::size_of(tokens + 1); }

  // out [texts, width]
  void forward(const Group& group, Workspace& workspace, Stream& stream, float* out, int64_t out_stride) const;
  // out [tokens, width]: the row of each token
  void token_rows(const Group& group, Workspace& workspace, Stream& stream, float* out, int64_t out_stride) const;

 private:
  explicit StaticEncoder(const Backend& backend) : backend_(backend) {}

  const Backend& backend_;
  std::shared_ptr<const WeightFiles> files_;
  const void* table_ = nullptr;
  std::vector<float> converted_;
  std::vector<float> scales_, weights_;
  std::vector<int32_t> mapping_;  // token id -> row; empty = the same
  int64_t vocab_ = 0, rows_ = 0, width_ = 0;
  DType dtype_ = DType::kF32;
  size_t bytes_ = 0;
};

}  // namespace embedcore
