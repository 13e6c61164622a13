// Character n-grams of fastText: `<word>` is cut into n-grams of min_n .. max_n code points, without the lone `<` and
// `>`, and each is hashed to a bucket.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace embedcore {

// FNV-1a of 32 bits in which each byte is sign-extended first, as in fastText: bytes from 0x80 on count.
uint32_t subword_hash(std::string_view bytes);

struct SubwordRule {
  int64_t min_n = 0, max_n = 0;
  int64_t buckets = 0;

  bool used() const { return max_n > 0 && buckets > 0; }
  // Appends the buckets of the word's n-grams, in the order of their first character, then of their length. `</s>` has
  // none.
  void append(std::string_view word, std::vector<int32_t>& buckets_of_word) const;
};

}  // namespace embedcore
