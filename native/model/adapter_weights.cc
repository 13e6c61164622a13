#include "model/adapter_weights.h"

#include <atomic>
#include <utility>

#include "base/error.h"

namespace embedcore {

std::shared_ptr<const AdapterWeights> AdapterWeights::load(const AdapterSource& source, const ModelConfig& config,
                                                           DevicePointer device, const KeepLoading& keep_loading) {
  static std::atomic<uint64_t> adapters{0};
  constexpr size_t kAligned = 64;  // floats: 256 bytes, as memory of a device begins
  const AdapterFile file(source, config);
  std::shared_ptr<AdapterWeights> adapter(new AdapterWeights(std::move(device)));
  adapter->number_ = ++adapters;
  adapter->layers_.resize(config.layers.size());

  std::vector<float> values;
  const auto add = [&](const std::vector<float>& matrix) {
    const size_t at = values.size();
    values.insert(values.end(), matrix.begin(), matrix.end());
    values.resize((values.size() + kAligned - 1) / kAligned * kAligned);
    return at;
  };
  struct Place {
    std::vector<LoraPart>* parts;
    size_t part, a, b;
  };
  std::vector<Place> places;
  for (size_t i = 0; i < config.layers.size(); ++i) {
    for (const LayerMatrix& matrix : layer_matrices(config, i)) {
      if (keep_loading) keep_loading();
      const LowRankUpdate* update = file.find(matrix.module);
      if (!update) continue;
      std::vector<LoraPart>& parts = adapter->layers_[i].*matrix.parts;
      places.push_back({&parts, parts.size(), add(file.a(*update)), add(file.b(*update))});
      parts.push_back({.first = matrix.first, .count = matrix.out, .rank = update->rank, .scale = update->scale});
    }
  }
  file.check_intact();
  adapter->bytes_ = values.size() * sizeof(float);
  if (values.empty()) return adapter;
  adapter->memory_ = adapter->device_->upload(values.data(), adapter->bytes_);
  const auto* begin = static_cast<const float*>(adapter->memory_.get());
  for (const Place& place : places) {
    LoraPart& part = (*place.parts)[place.part];
    part.a = begin + place.a;
    part.b = begin + place.b;
  }
  return adapter;
}

std::shared_ptr<const AdapterWeights> Adapter::hold() const {
  std::lock_guard lock(mutex_);
  if (!weights_) fail(Code::kDisposed, "the adapter was unloaded");
  return weights_;
}

std::shared_ptr<const AdapterWeights> Adapter::take(std::function<void()> freed) noexcept {
  std::lock_guard lock(mutex_);
  if (weights_) weights_->freed_.call = std::move(freed);
  return std::exchange(weights_, nullptr);
}

}  // namespace embedcore
