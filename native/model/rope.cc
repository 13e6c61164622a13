#include "model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace embedcore {

namespace {

// Llama 3.1: long waves are stretched by the factor, short ones are kept, and those between are blended.
double scale_llama3(double frequency, const RopeSpec& spec) {
  const double wave = 2 * std::numbers::pi / frequency;
  const double low_wave = spec.original_positions / spec.low_frequency_factor;
  const double high_wave = spec.original_positions / spec.high_frequency_factor;
  if (wave < high_wave) return frequency;
  if (wave > low_wave) return frequency / spec.factor;
  const double smooth = (spec.original_positions / wave - spec.low_frequency_factor) /
                        (spec.high_frequency_factor - spec.low_frequency_factor);
  return (1 - smooth) * frequency / spec.factor + smooth * frequency;
}

// YaRN (arXiv 2309.00071): waves with fewer than beta_slow turns over the original length are interpolated, those with
// more than beta_fast are kept, and there is a ramp in between.
double scale_yarn(double frequency, int64_t index, const RopeSpec& spec) {
  const double dim = static_cast<double>(spec.rotary_dim);
  auto dimension_of = [&](double turns) {
    return dim * std::log(spec.original_positions / (turns * 2 * std::numbers::pi)) / (2 * std::log(spec.theta));
  };
  double low = dimension_of(spec.beta_fast), high = dimension_of(spec.beta_slow);
  if (spec.truncate) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0);
  high = std::min(high, dim - 1);
  if (low == high) high += 0.001;
  const double ramp = std::clamp((static_cast<double>(index) - low) / (high - low), 0.0, 1.0);
  return frequency / spec.factor * ramp + frequency * (1 - ramp);
}

}  // namespace

RopeTable::RopeTable(const RopeSpec& spec, DevicePointer device) : device_(std::move(device)) {
  const int64_t half = spec.rotary_dim / 2;
  for (int64_t i = 0; i < half; ++i) {
    // The reference computes these in float32; each step is rounded likewise.
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(spec.rotary_dim);
    double frequency =
        static_cast<double>(1.0f / static_cast<float>(std::pow(spec.theta, static_cast<double>(exponent))));
    if (spec.scaling == RopeScaling::kLinear) frequency /= spec.factor;
    if (spec.scaling == RopeScaling::kLlama3) frequency = scale_llama3(frequency, spec);
    if (spec.scaling == RopeScaling::kYarn) frequency = scale_yarn(frequency, i, spec);
    inverse_frequency_.push_back(static_cast<float>(frequency));
  }
  if (spec.scaling == RopeScaling::kYarn) attention_factor_ = static_cast<float>(spec.attention_factor);
}

std::shared_ptr<const RopeTable::Values> RopeTable::at_least(int64_t positions) {
  std::lock_guard lock(mutex_);
  if (values_ && values_->positions >= positions) return values_;
  const size_t half = inverse_frequency_.size();
  auto grown = std::make_shared<Values>();
  grown->positions = std::max<int64_t>({positions, 512, values_ ? 2 * values_->positions : 0});
  std::vector<float> cosine(static_cast<size_t>(grown->positions) * half), sine(cosine.size());
  for (int64_t p = 0; p < grown->positions; ++p) {
    for (size_t i = 0; i < half; ++i) {
      const float angle = static_cast<float>(p) * inverse_frequency_[i];
      cosine[static_cast<size_t>(p) * half + i] = std::cos(angle) * attention_factor_;
      sine[static_cast<size_t>(p) * half + i] = std::sin(angle) * attention_factor_;
    }
  }
  grown->cosine = DeviceArray<float>(*device_, cosine);
  grown->sine = DeviceArray<float>(*device_, sine);
  values_ = grown;
  return values_;
}

}  // namespace embedcore
