// The options of a call, and the plan that is made from them once. Plans are plain values: two calls may share a batch
// exactly if their plans are equal.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "ops/attention.h"
#include "ops/pool.h"

namespace embedcore {

class Adapter;

struct PlanOptions {
  std::vector<Pooling> pooling;
  std::vector<int64_t> states;  // hidden states; empty = the model's own: the last, or the learned weighting
  bool concat = false;
  std::vector<Mask> attention;
  bool token_output = false;
  std::optional<bool> normalize;
  int64_t dimensions = 0;
};

// The hidden states that are used, and the attention of each layer. States are numbered as in transformers: 0 =
// embeddings, L = last. Empty for a static model.
struct ForwardPlan {
  struct Layer {
    Mask mask = Mask::kBidirectional;
    int64_t window = 0;
    bool operator==(const Layer&) const = default;
  };
  std::vector<Layer> layers;    // only those that must run
  std::vector<int64_t> states;  // ascending when averaged, as given when concatenated
  std::vector<float> factors;   // one for each state
  bool concat = false;
  bool only_last = true;  // states = {L} with the factor 1: nothing to fuse
  bool operator==(const ForwardPlan&) const = default;
};

// Tells plans that were made apart, also equal ones; 0 = none. It does not count for ==.
struct PlanNumber {
  uint64_t value = 0;
  bool operator==(const PlanNumber&) const { return true; }
};

// Validated options, resolved into what a forward pass needs.
struct EncodePlan {
  ForwardPlan forward;
  std::vector<Pooling> pooling;
  bool token_output = false;
  bool apply_normalize = true;  // the head's normalise modules
  bool normalize_last = false;  // after truncation
  int64_t pooled = 0;           // width after pooling
  int64_t dimension = 0;        // width of a finished row
  PlanNumber number;            // of Model::plan
  // What is added to the weights; null = nothing. Batches are of one adapter.
  std::shared_ptr<const Adapter> adapter;
  bool operator==(const EncodePlan&) const = default;
};

}  // namespace embedcore
