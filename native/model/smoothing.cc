#include "model/smoothing.h"

#include <algorithm>
#include <cmath>

namespace embedcore {

namespace {
constexpr int64_t kTexts = 8, kTokens = 32;
// Floors, so that channels with near-zero activations or weights do not get extreme scales.
constexpr float kLeastShare = 1e-3f;
}  // namespace

void InputScales::add(const float* x, int64_t stride, int64_t rows, int64_t width) {
  squares_.resize(static_cast<size_t>(width));
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t k = 0; k < width; ++k)
      squares_[static_cast<size_t>(k)] += static_cast<double>(x[row * stride + k]) * x[row * stride + k];
  rows_ += rows;
}

std::vector<float> InputScales::root_mean_squares() const {
  std::vector<float> sizes;
  for (const double square : squares_)
    sizes.push_back(static_cast<float>(std::sqrt(square / static_cast<double>(std::max<int64_t>(rows_, 1)))));
  return sizes;
}

std::vector<float> smoothing(const InputScales& inputs, const std::vector<float>& weight) {
  std::vector<float> sizes = inputs.root_mean_squares();
  const size_t in = sizes.size();
  std::vector<float> weights(in);
  for (size_t i = 0; i < weight.size(); ++i) weights[i % in] = std::max(weights[i % in], std::abs(weight[i]));
  const float size_floor = kLeastShare * *std::max_element(sizes.begin(), sizes.end());
  const float weight_floor = kLeastShare * *std::max_element(weights.begin(), weights.end());
  double logarithms = 0;
  for (size_t k = 0; k < in; ++k) {
    sizes[k] = std::sqrt(std::max(sizes[k], size_floor) / std::max(weights[k], weight_floor));
    logarithms += std::log(static_cast<double>(sizes[k]));
  }
  const double mean = std::exp(logarithms / static_cast<double>(in));
  if (!std::isfinite(mean) || mean == 0) return std::vector<float>(in, 1.0f);
  for (float& size : sizes) size = static_cast<float>(size / mean);
  return sizes;
}

CalibrationTexts::CalibrationTexts(int64_t vocab, int64_t max_tokens)
    : offsets(1, 0), zeros(kTexts, 0), longest(max_tokens > 0 ? std::min(kTokens, max_tokens) : kTokens) {
  uint64_t state = 1;  // Knuth's MMIX generator
  for (int64_t text = 0; text < kTexts; ++text) {
    for (int64_t t = 0; t < longest; ++t) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      ids.push_back(static_cast<int32_t>((state >> 33) % static_cast<uint64_t>(vocab)));
    }
    offsets.push_back(static_cast<int32_t>(ids.size()));
  }
}

}  // namespace embedcore
