// Words and their vectors: what a file of static vectors holds, and what the trainer leaves behind.
//
// With subwords (fastText) `inputs` has a row for each word and then one for each bucket of n-grams. The vector of a
// word is the mean of its row and of those of its n-grams; that of an unknown word the mean of its n-grams alone.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "static/row_block.h"
#include "static/subwords.h"
#include "static/word_table.h"

namespace embedcore {

// Names are those of fastText's files.
struct FastTextSettings {
  int32_t window = 5, epochs = 5, min_count = 5, negative = 5, word_ngrams = 1;
  int32_t loss = 2;   // 1: hierarchical softmax, 2: negative sampling, 3: softmax
  int32_t model = 2;  // 1: CBOW, 2: skip-gram
  int32_t rate_update = 100;
  double sample = 1e-4;
};

struct WordVectors {
  std::string format;  // as src/static/types.ts names it
  WordTable words;
  // The bytes of words that were repaired, by number: their n-grams are those of the file.
  std::unordered_map<int64_t, std::string> raw_words;
  int64_t dimension = 0;
  std::vector<int64_t> counts;  // [words]; empty = the file has none
  int64_t tokens = 0;           // of the corpus, where counts are known
  RowBlock inputs;              // [words + rule.buckets, dimension]
  RowBlock outputs;             // [words, dimension] of the output layer; no rows = not known
  SubwordRule rule;
  FastTextSettings settings;

  // What became of entries that were not taken as they are.
  int64_t duplicates = 0;  // words that came again; the first vector counts
  int64_t repaired = 0;    // words in ill-formed UTF-8 whose bytes were replaced by U+FFFD
  int64_t skipped = 0;     // entries left out for it

  // The word as the file has it.
  std::string_view raw_word(int64_t id) const;
  // The vector of word `id`.
  void vector(int64_t id, float* to) const;
  // The vector of a word that need not be known; false = there is none, and `to` is 0.
  bool compose(std::string_view word, float* to) const;
  void check() const;
  int64_t memory_bytes() const;
};

using SharedVectors = std::shared_ptr<const WordVectors>;

}  // namespace embedcore
