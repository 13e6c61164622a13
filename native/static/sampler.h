// Random numbers of training, and draws of words in proportion to a power of their counts.
#pragma once

#include <cstdint>
#include <vector>

namespace embedcore {

// splitmix64: any number as the state of a stream, so each block of the corpus has its own stream by a key.
class Random {
 public:
  explicit Random(uint64_t key) : state_(key) {}
  static uint64_t mix(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
  }
  uint64_t next() { return mix(state_ += 0x9e3779b97f4a7c15ull); }
  // 0 .. bound - 1, bound < 2^32. The share of each is off by less than bound / 2^32.
  uint32_t below(uint32_t bound) { return static_cast<uint32_t>((next() >> 32) * bound >> 32); }
  // [0, 1)
  float unit() { return static_cast<float>(next() >> 40) * 0x1p-24f; }

 private:
  uint64_t state_;
};

// Vose's alias method: a draw reads one entry of 8 bytes, for any distribution.
class WordSampler {
 public:
  // p(word) in proportion to count^exponent.
  WordSampler(const std::vector<int64_t>& counts, double exponent);
  int32_t draw(Random& random) const {
    const uint64_t bits = random.next();
    const uint64_t slot = (bits >> 32) * static_cast<uint64_t>(entries_.size()) >> 32;
    const Entry& entry = entries_[slot];
    return static_cast<uint32_t>(bits) <= entry.keep ? static_cast<int32_t>(slot) : entry.other;
  }

 private:
  struct Entry {
    uint32_t keep;  // share of the slot's own word, in units of 2^-32
    int32_t other;
  };
  std::vector<Entry> entries_;
};

// The probability with which a token of each word is kept: sqrt(t / f) + t / f of f = count / total, at most 1; 1 for
// t = 0.
std::vector<float> keep_probabilities(const std::vector<int64_t>& counts, int64_t total, double t);

}  // namespace embedcore
