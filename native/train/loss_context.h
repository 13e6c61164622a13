// One loss of a LossRunner on one batch, or on prefixes of its embeddings.
#pragma once

#include <vector>

#include "train/loss_ops.h"
#include "train/loss_runner.h"

namespace embedcore {

struct LossContext {
  LossOps& ops;
  const LossBatch& batch;
  std::vector<LossColumn> columns;  // of the batch, or their prefixes
  int64_t width = 0;
  bool unit = false;  // the embeddings have the length 1
  double weight = 1;  // of the gradients
  double log_scale = 0;

  // Results, added to.
  double value = 0;
  double dlog_scale = 0;
  std::vector<int64_t> non_finite_rows;

  int64_t rows() const { return batch.rows; }
  int64_t begin() const { return batch.begin; }
  int64_t count() const { return batch.count; }
  double share() const { return static_cast<double>(count()) / static_cast<double>(rows()); }
  // Of the local rows; empty if the batch has none.
  std::span<const float> labels() const {
    if (batch.labels.empty()) return {};
    return batch.labels.subspan(static_cast<size_t>(begin() * batch.label_width),
                                static_cast<size_t>(count() * batch.label_width));
  }

  // A column's rows from `row` on.
  View x(size_t column, int64_t row) const {
    const LossColumn& c = columns[column];
    return {const_cast<float*>(c.x + row * c.x_stride), c.x_stride};  // a View; only read
  }
  View dx(size_t column, int64_t row) const {
    const LossColumn& c = columns[column];
    return {c.dx + row * c.dx_stride, c.dx_stride};
  }
};

// Throws what LossRunner::run does for a batch that lacks what the loss needs.
void check_batch(const LossParameters& parameters, const LossBatch& batch);

// loss_in_batch.cc: losses whose rows see the texts of other rows
void add_loss(LossContext& context, const MultipleNegativesRankingLoss& loss);
void add_loss(LossContext& context, const GISTEmbedLoss& loss);
void add_loss(LossContext& context, const BatchTripletLoss& loss);

// loss_pairs.cc: losses of scores of a row's own texts
void add_loss(LossContext& context, const TripletLoss& loss);
void add_loss(LossContext& context, const CosineSimilarityLoss& loss);
void add_loss(LossContext& context, const CoSENTLoss& loss);
void add_loss(LossContext& context, const AnglELoss& loss);
void add_loss(LossContext& context, const ContrastiveLoss& loss);
void add_loss(LossContext& context, const OnlineContrastiveLoss& loss);
void add_loss(LossContext& context, const MarginMSELoss& loss);
void add_loss(LossContext& context, const DistillKLDivLoss& loss);
void add_loss(LossContext& context, const EmbedDistillLoss& loss);

}  // namespace embedcore
