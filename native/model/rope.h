// Tables of cosines and sines for rotary positions, which grow when longer texts arrive.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "model/config.h"
#include "model/device.h"

namespace embedcore {

class RopeTable {
 public:
  struct Values {
    DeviceArray<float> cosine, sine;  // [positions, rotary_dim / 2]
    int64_t positions = 0;
  };

  RopeTable(const RopeSpec& spec, DevicePointer device);

  // A table of at least this many positions. The holder keeps it alive while others grow theirs. Safe from any thread.
  // Throws Error(kOutOfMemory), std::bad_alloc.
  std::shared_ptr<const Values> at_least(int64_t positions);

 private:
  const DevicePointer device_;
  std::vector<float> inverse_frequency_;  // [rotary_dim / 2]
  float attention_factor_ = 1.0f;
  std::mutex mutex_;
  // Guarded by mutex_.
  std::shared_ptr<const Values> values_;
};

}  // namespace embedcore
