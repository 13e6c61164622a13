// The modules after the pooling in training (model/head.h): their weights, and forward and backward passes over the
// rows of all texts of a step. They are always float32.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "model/head.h"
#include "model/parameters.h"

namespace embedcore {

// A module; without a directory it is new and begins with random weights (torch.nn.Linear's).
struct TrainedModule {
  HeadModule module;
  bool trained = true;
};

class TrainedHead {
 public:
  // Throws Error, std::bad_alloc.
  TrainedHead(std::vector<TrainedModule> modules, DevicePointer device, uint64_t seed);

  // Names "<number of the module>.linear.weight" and so on.
  const Parameters& values() const { return *values_; }
  const Parameters& gradients() const { return *gradients_; }
  // Throws Error if a module does not fit.
  int64_t out_width(int64_t width) const;
  // Makes packed matrices follow the values.
  void follow_values(Stream& stream);

 private:
  friend class HeadPass;
  struct Loaded {
    HeadModule module;
    Linear linear, residual;
    NormWeights norm;
    // Of trained modules, in the blocks; null = frozen or not there.
    float *weight = nullptr, *bias = nullptr, *residual_weight = nullptr;
    float *dweight = nullptr, *dbias = nullptr, *dresidual = nullptr;
  };
  void load_dense(Loaded& loaded, const std::string& prefix, const TrainedModule& module, uint64_t seed);
  void load_norm(Loaded& loaded, const std::string& prefix, const TrainedModule& module);

  const DevicePointer device_;
  std::unique_ptr<Parameters> values_, gradients_;
  std::vector<Loaded> modules_;
};

// One pass over [texts] rows; keeps what the backward pass reads.
class HeadPass {
 public:
  explicit HeadPass(TrainedHead& head) : head_(head) {}

  // pooled [texts, width] -> rows of the head, in the pass's memory until the next forward pass.
  View forward(Stream& stream, const View& pooled, int64_t texts, int64_t width, bool normalize);
  // Of `texts` texts from `first` on. drows, the gradient of their rows, is overwritten. Adds to the gradients and
  // returns the gradient of their pooled rows, in the pass's memory until the next call.
  View backward(Stream& stream, const View& drows, int64_t first, int64_t texts);

 private:
  struct Step {
    View in;   // the rows that entered
    View sum;  // dense: x W^T + b; null where the activation is the identity
    View out;
    float *lengths = nullptr, *mean = nullptr, *rstd = nullptr;
    int64_t width = 0, out_width = 0;
    int64_t texts = 0;

    Step from_row(int64_t first, int64_t count) const;
  };
  void place(Layout& layout, const View& pooled, int64_t texts, int64_t width);
  void run(Stream& stream, const TrainedHead::Loaded& loaded, const Step& step) const;
  View run_back(Stream& stream, const TrainedHead::Loaded& loaded, const Step& step, const View& dout,
                const View& spare) const;

  TrainedHead& head_;
  Workspace workspace_;
  std::vector<Step> steps_;
  View gradients_[2];
  bool normalize_ = true;
};

}  // namespace embedcore
