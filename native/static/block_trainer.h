// Trains one block; a thread's own. The order of draws is part of a run's definition: for each sentence first those of
// subsampling, then for each centre its reach, then for each step its negatives.
#pragma once

#include <vector>

#include "static/trainer.h"

namespace embedcore {

class BlockTrainer {
 public:
  explicit BlockTrainer(const StaticTrainer& trainer);

  // block: counted through all epochs.
  void run(int64_t block);
  double loss() const { return loss_; }
  int64_t sampled_steps() const { return sampled_; }

 private:
  // The targets of a step that was drawn and whose rows are on their way into the cache.
  struct Step {
    int64_t count = 0;
    float* rows[kMostTargets];
    float labels[kMostTargets];
  };

  void sentence(const int32_t* tokens, int64_t count);
  void skip_gram(int64_t centre);
  void cbow(int64_t centre);
  void draw(Step& step, int32_t target);
  void take(const Step& step, const float* h);
  void add_inputs(int32_t word);
  float* input(int64_t row) const { return inputs_.row(row); }

  const StaticTrainer& of_;
  const StaticTrainerOptions& options_;
  const RowBlock& inputs_;
  const RowBlock& outputs_;
  const int64_t width_;  // of rows with their padding
  Random random_{0};
  float rate_ = 0;

  std::vector<int32_t> kept_;    // the sentence without what subsampling left out
  std::vector<float*> in_rows_;  // input rows that h comes from
  std::vector<float> memory_;    // h and e, aligned
  float *h_ = nullptr, *e_ = nullptr;
  Step steps_[2];

  int64_t step_number_ = 0;
  double loss_ = 0;
  int64_t sampled_ = 0;
};

}  // namespace embedcore
