// Training steps of one model on one device: texts in, gradients and updates of the weights.
//
//   StepResult result = trainer.accumulate(stream, input);  // forward, losses, backward: gradients are added
//   trainer.update(stream, rate, factor);                   // clipping, AdamW, weights packed again
//
// With gradient caching (Gao et al. 2021, "Scaling deep contrastive learning batch size under memory limited setup")
// the embeddings of all texts are computed first without keeping activations; after the losses each slab goes forward
// again and then backward. Its gradients have the same bits as without: dropout is drawn again, and sums over rows go
// over the same slabs in the same order.
//
// With several slots (train/slots.h) each has its own slabs, losses of its rows against the texts of all, and its own
// sum of gradients.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "train/encoder_pass.h"
#include "train/head.h"
#include "train/loss_runner.h"
#include "train/optimizer.h"
#include "train/slots.h"

namespace embedcore {

struct TrainerOptions {
  bool gradient_cache = false;
  size_t recompute = 0;   // layers, from the first on, that are made again for the backward pass (Keeping::recomputed)
  bool dropout = true;    // with the rates of the model's configuration
  bool normalize = true;  // the head's normalise modules
  uint64_t seed = 0;
  int64_t slots = 1;  // of gradients (train/slots.h)
};

// One micro-batch: `columns` texts for each of `rows` rows; text (column, row) has the number column * rows + row.
struct StepInput {
  StepTexts texts;
  int64_t columns = 0, rows = 0;
  // As in LossBatch.
  std::vector<float> labels;
  int64_t label_width = 1;
  std::vector<int32_t> text_ids, groups;
  std::vector<float> guide;  // [columns, rows, guide_width]
  int64_t guide_width = 0;
  std::vector<float> teacher;  // [rows, teacher_columns, teacher_width]
  int64_t teacher_columns = 1, teacher_width = 0;
  uint64_t draw = 0;  // the number of the step: of dropout and of what else is drawn
};

struct StepResult {
  LossResult loss;
  int64_t tokens = 0;
};

class Trainer {
 public:
  // Throws Error(kDevice) if the backend cannot train, before any work.
  Trainer(std::unique_ptr<TrainedWeights> weights, std::unique_ptr<TrainedHead> head, const EncodePlan& plan,
          std::vector<LossSpec> losses, const TrainerOptions& options);

  // Which parameters the optimiser has, with their learning rates and decay. Before the first step.
  void set_optimizer(std::vector<ParameterGroup> encoder, std::vector<ParameterGroup> head,
                     const OptimizerSettings& settings);

  // wanted: asked between slabs; false ends the call with Error(kAborted), and gradients must be cleared. Throws
  // Error(kNonFinite) for a loss that is not finite, naming its part and rows, before any gradient is added.
  using Wanted = std::function<bool()>;
  StepResult accumulate(OpenStream& stream, const StepInput& input, const Wanted& wanted);
  // Returns the norm of the gradients times factor. Throws Error(kNonFinite) if it is not finite; nothing has changed
  // then. Clears the gradients.
  double update(OpenStream& stream, double rate, double factor);
  void clear_gradients(OpenStream& stream);

  // Puts the moving average in the place of the weights, for encode; false brings the last weights back with the same
  // bits. Meanwhile nothing is trained, saved or read. Throws Error(kInvalidOption) if the optimiser keeps no average.
  void use_average(OpenStream& stream, bool use);
  // Throws Error(kInternal) while the average is in the place of the weights.
  void refuse_average(const char* call) const;

  // Embeddings of texts with the current weights, as the saved model gives them: rows [texts, dimension()].
  void encode(OpenStream& stream, const StepTexts& texts, float* rows, const Wanted& wanted);
  int64_t dimension() const { return dimension_; }

  TrainedWeights& weights() { return *weights_; }
  TrainedHead& head() { return *head_; }
  Optimizer& optimizer() { return *optimizer_; }
  SlotSums& slots() { return *slots_; }
  const std::vector<double>& log_scales() const { return log_scales_; }
  // The state that is not in blocks: the number of steps, learned scales and their moments.
  std::vector<double> host_state() const;
  void set_host_state(const std::vector<double>& state);
  const OpenDevice& device() const { return weights_->device(); }
  // After values were written from outside.
  void follow_values(Stream& stream);
  size_t activation_bytes() const;

 private:
  struct Slot;
  struct Rows;
  std::vector<Slot> cut_slots(const StepInput& input) const;
  Rows place_rows(int64_t texts);
  // Rows of the texts of all slots, one slot after the other, to the order of the step, or back.
  void to_step_order(Stream& stream, const StepInput& input, const std::vector<Slot>& slots, const View& by_slot,
                     const View& by_step, bool back) const;
  LossResult run_losses(OpenStream& stream, const StepInput& input, const std::vector<Slot>& slots, const Rows& at,
                        const View& rows);
  void refuse_non_finite(const LossResult& result) const;
  std::vector<double> scale_gradients() const;
  void update_scales(double rate, const std::vector<double>& gradients);

  const std::unique_ptr<TrainedWeights> weights_;
  const std::unique_ptr<TrainedHead> head_;
  const EncodePlan plan_;
  const TrainerOptions options_;
  EncoderPass encoder_;
  HeadPass head_pass_;
  LossRunner losses_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<SlotSums> slots_;
  int64_t dimension_ = 0;
  bool uses_average_ = false;

  std::vector<std::unique_ptr<KeptSlab>> kept_;
  Workspace rows_memory_, loss_memory_;
  // Learned scales are a few numbers on the host, with moments of their own.
  std::vector<double> log_scales_, first_, second_;
  std::vector<std::vector<double>> dlog_scales_;  // of each slot
};

}  // namespace embedcore
