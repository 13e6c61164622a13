// The interface of encoders, which turn token ids into vectors: a transformer or a static table. Other kinds of
// encoders implement it too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "model/batch.h"
#include "model/device.h"
#include "model/plan.h"
#include "model/workspace.h"

namespace embedcore {

class TokenEncoder {
 public:
  virtual ~TokenEncoder() = default;

  const OpenDevice& device() const { return *device_; }
  const DevicePointer& shared_device() const { return device_; }
  virtual int64_t vocab() const = 0;
  // Tokens a text may have; 0 = no limit.
  virtual int64_t max_tokens() const = 0;
  // Memory of weights and tables, bytes.
  virtual size_t weight_bytes() const = 0;
  virtual int64_t parameters() const = 0;

  // Throws Error for options that do not apply.
  virtual ForwardPlan plan(const PlanOptions& options) const = 0;
  // Numbers in the vector of a token.
  virtual int64_t width(const ForwardPlan& plan) const = 0;
  // Whether forward() returns one row per text, already pooled by the mean, unless the plan is for token output.
  virtual bool pools_itself() const = 0;

  // Batch::indices of one text.
  virtual void write_indices(std::span<const int32_t> ids, int32_t* indices) const = 0;

  // Called between layers; false ends the pass.
  using BetweenLayers = std::function<bool()>;
  // Places the memory of forward() and returns its rows in device memory: [tokens, width] or, if it pools, [texts,
  // width]. With a measuring layout (base null) nothing is computed. Returns a null view if between_layers returned
  // false.
  virtual void place(Layout& layout, const EncodePlan& plan, int64_t texts, int64_t tokens) const = 0;
  virtual View forward(Layout& layout, const EncodePlan& plan, const Batch& batch, Stream& stream,
                       const BetweenLayers& between_layers) const = 0;
  // Appends the addresses of what forward() reads of this batch that other batches may move, and holds it for the
  // batch.
  virtual void add_to_replay_key(const Batch&, std::vector<uint64_t>&) const {}

 protected:
  explicit TokenEncoder(DevicePointer device) : device_(std::move(device)) {}
  const DevicePointer device_;
};

}  // namespace embedcore
