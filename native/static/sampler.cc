#include "static/sampler.h"

#include <algorithm>
#include <cmath>

namespace embedcore {

WordSampler::WordSampler(const std::vector<int64_t>& counts, double exponent) : entries_(counts.size()) {
  const size_t words = counts.size();
  std::vector<double> share(words);
  double sum = 0;
  for (size_t i = 0; i < words; ++i) sum += share[i] = std::pow(static_cast<double>(counts[i]), exponent);
  std::vector<uint32_t> small, large;
  for (size_t i = 0; i < words; ++i) {
    share[i] *= static_cast<double>(words) / sum;
    (share[i] < 1 ? small : large).push_back(static_cast<uint32_t>(i));
  }
  for (size_t i = 0; i < words; ++i) entries_[i] = {UINT32_MAX, static_cast<int32_t>(i)};
  while (!small.empty() && !large.empty()) {
    const uint32_t less = small.back(), more = large.back();
    small.pop_back();
    entries_[less] = {static_cast<uint32_t>(share[less] * 0x1p32), static_cast<int32_t>(more)};
    share[more] -= 1 - share[less];
    if (share[more] < 1) {
      large.pop_back();
      small.push_back(more);
    }
  }
}

std::vector<float> keep_probabilities(const std::vector<int64_t>& counts, int64_t total, double t) {
  std::vector<float> keep(counts.size(), 1.0f);
  if (t <= 0) return keep;
  for (size_t i = 0; i < counts.size(); ++i) {
    const double rarity = t * static_cast<double>(total) / static_cast<double>(counts[i]);
    keep[i] = static_cast<float>(std::min(1.0, std::sqrt(rarity) + rarity));
  }
  return keep;
}

}  // namespace embedcore
