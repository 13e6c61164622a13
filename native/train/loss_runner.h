// Losses and their gradients over the embeddings of a batch: host lists in, operations of the backend, host numbers
// out. Works on any backend that has the operations; embeddings and gradients stay on the device.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "model/device.h"
#include "model/workspace.h"
#include "train/loss.h"

namespace embedcore {

// One text of every row: anchors, positives, then negatives; for losses over pairs, the two texts.
struct LossColumn {
  const float* x = nullptr;  // [rows, width], device memory
  int64_t x_stride = 0;
  float* dx = nullptr;  // [rows, width], added to
  int64_t dx_stride = 0;
  const float* guide = nullptr;  // [rows, guide_width] of a guide model, or null
  int64_t guide_stride = 0;
};

// rows are all rows of the step. A process, or a slot, computes the losses of `count` rows from `begin` on: these are
// the queries of losses with in-batch negatives, whose keys are the texts of all rows, and the whole batch of other
// losses. What it gives are shares: those of all slots add up to the loss and the gradients of the step. (A sum over
// pairs of rows, as in CoSENT, has only the pairs of a slot.)
struct LossBatch {
  std::span<const LossColumn> columns;
  int64_t rows = 0, width = 0;
  int64_t begin = 0, count = -1;  // -1: up to the last row
  // Host memory.
  std::span<const float> labels{};  // [rows, label_width]: scores, labels of 0 and 1, teacher's scores
  int64_t label_width = 1;
  std::span<const int32_t> text_ids{};   // [columns, rows]: equal numbers for equal texts; empty = not known
  std::span<const int32_t> groups{};     // [rows]: labels of classes, -1 = none; empty = none
  std::span<const double> log_scales{};  // of each loss with a learned scale, in the order of the list
  int64_t guide_width = 0;
  // Device memory: [rows, teacher_columns, teacher_width] embeddings; one column serves all texts.
  const float* teacher = nullptr;
  int64_t teacher_columns = 1, teacher_width = 0;
  uint64_t draw = 0;  // a number of the step, from which Matryoshka dimensions are drawn
};

struct LossPart {
  std::string name;
  double weight = 1;
  double value = 0;  // without the weight; with Matryoshka, the weighted sum over its dimensions
  // Rows whose own loss is not finite, where a loss has such; empty where only the sum is known.
  std::vector<int64_t> non_finite_rows;
};

struct LossResult {
  double loss = 0;  // sum of weight * value: a NaN if one of them is
  std::vector<LossPart> parts;
  std::vector<double> dlog_scales;  // of each learned scale

  // The first part whose value is not finite, or null.
  const LossPart* non_finite() const;
};

class LossRunner {
 public:
  // Throws Error(kInvalidOption) for a loss that cannot be, and Error(kDevice) naming the operation and the loss if the
  // backend lacks one.
  LossRunner(DevicePointer device, std::vector<LossSpec> losses);

  // Waits for the stream. Throws Error(kShapeMismatch) or Error(kInvalidOption) if the batch lacks what a loss needs,
  // before anything is computed.
  LossResult run(OpenStream& stream, const LossBatch& batch);

  const std::vector<LossSpec>& losses() const { return losses_; }
  int64_t learned_scales() const;
  size_t bytes() const { return workspace_.bytes(); }  // device memory that is kept

 private:
  DevicePointer device_;
  std::vector<LossSpec> losses_;
  Workspace workspace_;
};

}  // namespace embedcore
