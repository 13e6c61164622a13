// The encoder in training: forward and backward passes of slabs, from token ids to pooled rows.
//
//   EncoderPass pass(weights, plan);
//   pass.begin_step(stream, seed, longest);
//   pass.forward(stream, slab, kept, pooled, {.backward = true}, true);  // kept: what the backward pass reads
//   pass.backward(stream, slab, kept, dpooled);                          // adds to the gradients
//
// Rows of a group depend on that group alone, and sums over rows go from slab to slab in order. So gradients have the
// same bits for every number of threads, and whether activations were kept or are made again.
#pragma once

#include <memory>
#include <vector>

#include "model/plan.h"
#include "train/layer_backward.h"

namespace embedcore {

// What a forward pass keeps for the backward pass.
struct Keeping {
  bool backward = false;  // false: no backward pass follows, and nothing is kept
  // So many layers, from the first on, keep the residual stream that leaves them alone; the rest of them is made again
  // in the backward pass, if it goes so far.
  size_t recomputed = 0;

  bool all_of(size_t layer) const { return backward && layer >= recomputed; }
};

// What one slab keeps.
struct KeptSlab {
  Keeping keeping;
  bool dropout = false;
  Workspace workspace;
  View embedded;  // [tokens, hidden] f32: sums of table rows
  float *embedding_mean = nullptr, *embedding_rstd = nullptr;
  std::vector<KeptLayer> layers;
  float *final_mean = nullptr, *final_rstd = nullptr;
  View tokens;  // [tokens, width] f32: what is pooled; null unless a pooling reads it again
};

class EncoderPass {
 public:
  // plan: states, attention and poolings (EncodePlan::forward and pooling). Throws Error.
  EncoderPass(const TrainedWeights& weights, const EncodePlan& plan);

  int64_t width() const { return width_; }  // of a token's row
  int64_t pooled_width() const { return width_ * static_cast<int64_t>(plan_.pooling.size()); }

  // seed: of dropout in this step. longest: tokens of its longest text.
  void begin_step(Stream& stream, uint64_t seed, int64_t longest);
  // Writes the pooled rows of the slab's texts into pooled [texts of the step, pooled_width()].
  void forward(Stream& stream, Slab& slab, KeptSlab& kept, const View& pooled, Keeping keeping, bool dropout);
  // Adds to weights.gradients(). dpooled: the gradient of the pooled rows of all texts. keeping and dropout: as in the
  // forward pass.
  void backward(Stream& stream, Slab& slab, KeptSlab& kept, const View& dpooled);
  size_t scratch_bytes() const { return scratch_memory_.bytes(); }
  // After the last backward pass of a step.
  void finish_gradients(Stream& stream);

 private:
  struct GroupRun;
  size_t layers() const { return plan_.forward.layers.size(); }
  bool has_final_norm() const;
  void fit(Stream& stream, Slab& slab, KeptSlab& kept);
  void fit_scratch(Stream& stream, const Slab& slab, const KeptSlab& kept);
  KeptLayer layer_of(const KeptSlab& kept, size_t layer) const;
  View layer_input(const KeptSlab& kept, size_t layer) const;
  template <typename Body>
  void with_layer(const GroupRun& run, size_t layer, Body&& body) const;

  // Of one group:
  void forward_group(const GroupRun& run, const View& pooled) const;
  void make_input(const GroupRun& run, size_t layer) const;
  void norm(const GroupRun& run, const NormWeights& weights, const View& x, const View& y, float* mean,
            float* rstd) const;
  void fuse_state(const GroupRun& run, int64_t state, const View& rows) const;
  void pool(const GroupRun& run, const View& rows, const View& pooled) const;
  // Whether anything is trained that the gradient of the pooled rows goes to.
  bool has_backward() const { return weights_.first_trained_layer() < layers() || weights_.trains_embeddings(); }
  void begin_backward(const GroupRun& run, const View& dpooled) const;
  void unpool(const GroupRun& run, const View& dpooled) const;
  void add_state_gradient(const GroupRun& run, int64_t state, const View& to, bool first) const;
  void backward_layer(const GroupRun& run, size_t layer) const;
  void backward_embedding(const GroupRun& run) const;
  // Of the slab:
  void add_layer_gradients(Stream& stream, Slab& slab, const KeptSlab& kept, size_t layer) const;
  void add_norm_gradients(Stream& stream, const Slab& slab, const TrainedNorm& norm, const View& x, const float* mean,
                          const float* rstd, const View& dy) const;
  void add_table_gradients(Stream& stream, const Slab& slab, const View& dy) const;

  const TrainedWeights& weights_;
  const Backend& backend_;
  const EncodePlan plan_;
  const DType dtype_;  // of rows between two products
  const PassParts parts_;
  int64_t width_ = 0;
  std::vector<uint32_t> sites_;  // the first site of each layer
  uint64_t seed_ = 0;

  // Memory of the slab that is under way.
  Workspace scratch_memory_;
  LayerScratch scratch_;
  View fused_, dfused_;  // [tokens, width]: rows of several states, and the gradient of what is pooled
  KeptLayer shared_;     // of the layer under way, where layers keep only sums or nothing
  // Relative positions of the step, and their gradient [heads, 2 * reach + 1].
  std::shared_ptr<const RelativeBias::Values> relative_;
  std::shared_ptr<void> relative_gradient_;
};

}  // namespace embedcore
