// AdamW over blocks of parameters (ops/optimizer.h), clipping by the global norm, and an average of the weights.
#pragma once

#include <memory>
#include <vector>

#include "model/parameters.h"

namespace embedcore {

// Elements begin .. end of a block, with their own learning rate and decay.
struct ParameterGroup {
  int64_t begin = 0, end = 0;
  double rate_factor = 1;
  double decay = 0;
};

struct OptimizerSettings {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double max_norm = 1;       // of all gradients together; 0 = not clipped
  double average_decay = 0;  // of the exponential moving average of the weights; 0 = none
};

// One block that is trained: values and gradients are somebody else's.
struct TrainedBlock {
  const Parameters* values = nullptr;
  const Parameters* gradients = nullptr;
  std::vector<ParameterGroup> groups;  // cover the block without overlaps; empty = one of rate_factor 1 without decay
};

class Optimizer {
 public:
  // Throws Error(kOutOfMemory), Error(kInvalidOption) for groups that do not cover a block.
  Optimizer(DevicePointer device, std::vector<TrainedBlock> blocks, const OptimizerSettings& settings);

  // Sets all gradients to zero.
  void clear_gradients(Stream& stream);
  // The norm of all gradients. Waits for the stream.
  double gradient_norm(Stream& stream);
  // One step with this learning rate; `norm` is that of the gradients times `factor`, by which they are multiplied
  // first.
  void step(Stream& stream, double rate, double norm, double factor);

  bool has_average() const { return settings_.average_decay > 0; }
  // The values and their average change places; a second time brings both back with the same bits. Waits for the
  // stream. Throws Error(kOutOfMemory) before anything has changed.
  void swap_averages(OpenStream& stream);

  int64_t steps() const { return steps_; }
  void set_steps(int64_t steps) { steps_ = steps; }

  struct Block {
    TrainedBlock trained;
    std::unique_ptr<Parameters> first, second, average;  // average: null without
  };
  const std::vector<Block>& blocks() const { return blocks_; }

 private:
  const DevicePointer device_;
  const OptimizerSettings settings_;
  std::vector<Block> blocks_;
  std::shared_ptr<void> sum_;  // one double
  int64_t steps_ = 0;
};

}  // namespace embedcore
