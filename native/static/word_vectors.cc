#include "static/word_vectors.h"

#include <algorithm>

namespace embedcore {

namespace {

// to = (to + the rows of the buckets) / parts, where `to` holds own_parts rows already.
bool average(const WordVectors& from, std::string_view word, int64_t own_parts, float* to) {
  std::vector<int32_t> buckets;
  from.rule.append(word, buckets);
  const int64_t parts = own_parts + static_cast<int64_t>(buckets.size());
  if (parts == 0) return false;
  std::vector<float> row(static_cast<size_t>(from.dimension));
  for (const int32_t bucket : buckets) {
    from.inputs.copy(from.inputs.rows() - from.rule.buckets + bucket, row.data());
    for (size_t d = 0; d < row.size(); ++d) to[d] += row[d];
  }
  const float share = 1.0f / static_cast<float>(parts);
  if (parts > 1) std::transform(to, to + from.dimension, to, [share](float value) { return value * share; });
  return true;
}

}  // namespace

std::string_view WordVectors::raw_word(int64_t id) const {
  const auto raw = raw_words.find(id);
  return raw == raw_words.end() ? words.word(id) : std::string_view(raw->second);
}

void WordVectors::vector(int64_t id, float* to) const {
  inputs.copy(id, to);
  if (rule.used()) average(*this, raw_word(id), 1, to);
}

bool WordVectors::compose(std::string_view word, float* to) const {
  if (const int64_t id = words.find(word); id != WordTable::kNone) {
    vector(id, to);
    return true;
  }
  std::fill_n(to, dimension, 0.0f);
  return rule.used() && average(*this, word, 0, to);
}

void WordVectors::check() const {
  inputs.check();
  outputs.check();
}

int64_t WordVectors::memory_bytes() const {
  return words.memory_bytes() + inputs.memory_bytes() + outputs.memory_bytes() +
         static_cast<int64_t>(counts.capacity() * sizeof(int64_t));
}

}  // namespace embedcore
