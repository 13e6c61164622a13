#include "model/relative_bias.h"

#include <algorithm>
#include <cmath>

namespace embedcore {

namespace {

// T5's buckets, both directions: half of them for keys before the query, half for keys after it; near ones are exact,
// far ones logarithmic. distance = key - query.
int64_t bucket_of(int64_t distance, int64_t buckets, int64_t max_distance) {
  const int64_t half = buckets / 2;
  int64_t bucket = 0;
  int64_t n = -distance;
  if (n < 0) {
    bucket = half;
    n = -n;
  }
  const int64_t exact = half / 2;
  if (n < exact) return bucket + n;
  const float ratio = std::log(static_cast<float>(n) / static_cast<float>(exact)) /
                      static_cast<float>(std::log(static_cast<double>(max_distance) / static_cast<double>(exact)));
  return bucket + std::min(half - 1, exact + static_cast<int64_t>(ratio * static_cast<float>(half - exact)));
}

}  // namespace

RelativeBias::RelativeBias(std::vector<float> table, int64_t buckets, int64_t max_distance, DevicePointer device)
    : device_(std::move(device)), table_(std::move(table)), buckets_(buckets), max_distance_(max_distance) {}

std::shared_ptr<const RelativeBias::Values> RelativeBias::at_least(int64_t reach) {
  std::lock_guard lock(mutex_);
  if (values_ && values_->reach >= reach) return values_;
  auto grown = std::make_shared<Values>();
  grown->reach = std::max<int64_t>({reach, 255, values_ ? 2 * values_->reach : 0});
  const int64_t heads = static_cast<int64_t>(table_.size()) / buckets_, span = 2 * grown->reach + 1;
  std::vector<float> bias(static_cast<size_t>(heads * span));
  for (int64_t d = -grown->reach; d <= grown->reach; ++d) {
    const int64_t bucket = bucket_of(d, buckets_, max_distance_);
    for (int64_t h = 0; h < heads; ++h)
      bias[static_cast<size_t>(h * span + grown->reach + d)] = table_[static_cast<size_t>(bucket * heads + h)];
  }
  grown->bias = DeviceArray<float>(*device_, bias);
  values_ = grown;
  return values_;
}

void RelativeBias::add_gradient(const float* dbias, int64_t reach, float* dtable) const {
  const int64_t heads = static_cast<int64_t>(table_.size()) / buckets_, span = 2 * reach + 1;
  std::vector<double> sums(table_.size());
  for (int64_t d = -reach; d <= reach; ++d) {
    const int64_t bucket = bucket_of(d, buckets_, max_distance_);
    for (int64_t h = 0; h < heads; ++h)
      sums[static_cast<size_t>(bucket * heads + h)] += static_cast<double>(dbias[h * span + reach + d]);
  }
  for (size_t i = 0; i < sums.size(); ++i) dtable[i] += static_cast<float>(sums[i]);
}

}  // namespace embedcore
