// An adapter beside a model: low-rank updates in device memory, which calls name in their plan. The model's own weights
// stay as they are.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "model/adapter_file.h"
#include "model/device.h"
#include "model/weights.h"

namespace embedcore {

class AdapterWeights {
 public:
  // Reads the updates onto the device. Throws Error, std::bad_alloc.
  static std::shared_ptr<const AdapterWeights> load(const AdapterSource& source, const ModelConfig& config,
                                                    DevicePointer device, const KeepLoading& keep_loading);

  // Null if nothing of the layer is changed.
  const LayerAdapter* layer(size_t index) const { return layers_[index].empty() ? nullptr : &layers_[index]; }
  const OpenDevice& device() const { return *device_; }
  size_t bytes() const { return bytes_; }
  // Never that of another adapter of the process.
  uint64_t number() const { return number_; }

 private:
  friend class Adapter;
  struct Afterwards {
    std::function<void()> call;
    ~Afterwards() {
      if (call) call();
    }
  };
  explicit AdapterWeights(DevicePointer device) : device_(std::move(device)) {}

  mutable Afterwards freed_;  // the first member: it is destroyed after the memory
  DevicePointer device_;
  std::shared_ptr<void> memory_;
  size_t bytes_ = 0;
  uint64_t number_ = 0;
  std::vector<LayerAdapter> layers_;
};

// What plans refer to. Its owner may take the weights away while calls use them: a batch under way ends with them, and
// later ones fail. Safe from any thread.
class Adapter {
 public:
  explicit Adapter(std::shared_ptr<const AdapterWeights> weights) : weights_(std::move(weights)) {}
  Adapter(const Adapter&) = delete;
  Adapter& operator=(const Adapter&) = delete;

  // Throws Error(kDisposed) after take().
  std::shared_ptr<const AdapterWeights> hold() const;
  // The weights, for their end; null if they were taken. `freed` is called when their memory is free, on the thread
  // that frees it, and must not throw.
  std::shared_ptr<const AdapterWeights> take(std::function<void()> freed) noexcept;

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const AdapterWeights> weights_;  // guarded by mutex_
};

}  // namespace embedcore
