#include "static/subwords.h"

#include <string>

namespace embedcore {

uint32_t subword_hash(std::string_view bytes) {
  uint32_t hash = 2166136261u;
  for (const char byte : bytes) {
    hash ^= static_cast<uint32_t>(static_cast<int8_t>(byte));
    hash *= 16777619u;
  }
  return hash;
}

void SubwordRule::append(std::string_view word, std::vector<int32_t>& buckets_of_word) const {
  if (!used() || word == "</s>") return;
  std::string marked;
  marked.reserve(word.size() + 2);
  marked.append("<").append(word).append(">");
  const auto continues = [&](size_t i) { return (static_cast<unsigned char>(marked[i]) & 0xc0) == 0x80; };
  for (size_t begin = 0; begin < marked.size(); ++begin) {
    if (continues(begin)) continue;
    size_t end = begin;
    for (int64_t n = 1; end < marked.size() && n <= max_n; ++n) {
      ++end;
      while (end < marked.size() && continues(end)) ++end;
      if (n < min_n || (n == 1 && (begin == 0 || end == marked.size()))) continue;
      const uint32_t hash = subword_hash(std::string_view(marked).substr(begin, end - begin));
      buckets_of_word.push_back(static_cast<int32_t>(hash % static_cast<uint64_t>(buckets)));
    }
  }
}

}  // namespace embedcore
