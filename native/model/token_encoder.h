// From token ids to vectors: a transformer, or a static table. Where another kind of encoder would go.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

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
  // Numbers a token's vector has.
  virtual int64_t width(const ForwardPlan& plan) const = 0;
  // Whether forward() gives one row a text, already pooled by the mean, unless the plan is for token output.
  virtual bool pools_itself() const = 0;

  // Batch::indices of one text.
  virtual void write_indices(std::span<const int32_t> ids, int32_t* indices) const = 0;

  // Called between layers; false ends the pass.
  using BetweenLayers = std::function<bool()>;
  // Places what forward() uses and returns its rows in device memory: [tokens, width] or, where it pools, [texts,
  // width]. With a measuring layout (base null) nothing else happens. A null view when between_layers said stop.
  virtual void place(Layout& layout, const EncodePlan& plan, int64_t texts, int64_t tokens) const = 0;
  virtual View forward(Layout& layout, const EncodePlan& plan, const Batch& batch, Stream& stream,
                       const BetweenLayers& between_layers) const = 0;

 protected:
  explicit TokenEncoder(DevicePointer device) : device_(std::move(device)) {}
  const DevicePointer device_;
};

}  // namespace embedcore
