// T5-type relative positions that all layers share (MPNet): a learned bias per head and distance bucket, expanded to
// one per distance for attention. The array grows when longer texts arrive.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "model/device.h"

namespace embedcore {

class RelativeBias {
 public:
  struct Values {
    DeviceArray<float> bias;  // [heads, 2 * reach + 1], see ops/attention.h
    int64_t reach = 0;
  };

  // table [buckets, heads]
  RelativeBias(std::vector<float> table, int64_t buckets, int64_t max_distance, DevicePointer device);

  // Values that reach at least this far. Safe from any thread. Throws Error(kOutOfMemory), std::bad_alloc.
  std::shared_ptr<const Values> at_least(int64_t reach);

  // Adds the gradients of values, [heads, 2 * reach + 1] in host memory, to those of the table, [buckets, heads].
  void add_gradient(const float* dbias, int64_t reach, float* dtable) const;

 private:
  const DevicePointer device_;
  const std::vector<float> table_;
  const int64_t buckets_, max_distance_;
  std::mutex mutex_;
  // Guarded by mutex_.
  std::shared_ptr<const Values> values_;
};

}  // namespace embedcore
