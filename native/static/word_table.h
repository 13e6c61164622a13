// Words with numbers: an arena of bytes and an open hash table over it. Numbers are given in the order of insertion.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace embedcore {

// FNV-1a of 64 bits, with a last mix, because tables take its lower bits.
uint64_t hash_bytes(std::string_view bytes);

class WordTable {
 public:
  static constexpr int64_t kNone = -1;

  int64_t size() const { return static_cast<int64_t>(starts_.size()) - 1; }
  std::string_view word(int64_t id) const {
    const size_t begin = starts_[static_cast<size_t>(id)];
    return std::string_view(bytes_).substr(begin, starts_[static_cast<size_t>(id) + 1] - begin);
  }
  // The number of the word, or kNone.
  int64_t find(std::string_view word) const;
  // The number of the word, which is added where it is new. Throws std::bad_alloc.
  int64_t add(std::string_view word);
  void reserve(int64_t words);
  int64_t memory_bytes() const;

 private:
  void grow(size_t slots);
  // The slot of the word, or the free one where it belongs.
  size_t slot_of(std::string_view word, uint64_t hash) const;

  std::string bytes_;
  std::vector<size_t> starts_ = {0};  // [words + 1]
  std::vector<int64_t> slots_;        // number + 1; 0 = free
  std::vector<uint32_t> tags_;        // upper bits of the hash, so that few words are compared
};

}  // namespace embedcore
