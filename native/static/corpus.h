// Reads a corpus once: bytes of text in, numbers of words and their counts out.
//
// White space of ASCII (and the byte 0) parts words, a line feed ends a sentence. Text may be cut anywhere between two
// calls of add(). With max_words, whenever there are more words than that, those seen the fewest times are forgotten
// (gensim's max_vocab_size): their tokens so far are then unknown.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "static/token_store.h"
#include "static/word_table.h"

namespace embedcore {

struct CorpusOptions {
  std::string scratch;        // directory of temporary files
  int64_t max_words = 0;      // 0 = no limit
  bool skip_invalid = false;  // words that are not UTF-8 are left out; otherwise they are refused
};

// Words in the order of their first appearance.
struct CountedCorpus {
  WordTable words;
  std::vector<int64_t> counts;  // [words]
  std::unique_ptr<TokenStore> tokens;
  int64_t total = 0;      // tokens, unknown ones too
  int64_t sentences = 0;  // that are not empty
  int64_t invalid = 0;    // tokens that were not UTF-8
  int64_t forgotten = 0;  // words, for max_words
};

class CorpusReader {
 public:
  // Throws Error(kWriteFailed).
  explicit CorpusReader(const CorpusOptions& options);
  // Throws Error(kInvalidData) with the line; Error(kWriteFailed); std::bad_alloc.
  void add(std::string_view text);
  CountedCorpus finish();
  int64_t total() const { return total_; }
  int64_t words() const { return words_.size(); }

 private:
  void take(std::string_view word);
  void end_sentence();
  void forget();

  const CorpusOptions options_;
  std::string rest_;  // a word that the text so far does not end
  WordTable words_;
  std::vector<int64_t> counts_;   // [words]
  std::vector<int32_t> numbers_;  // [words]: what the store has for each
  int32_t next_number_ = 0;
  std::unique_ptr<TokenStore> tokens_;
  int64_t least_ = 1;  // words seen at most this often go next
  int64_t total_ = 0, sentences_ = 0, invalid_ = 0, forgotten_ = 0, line_ = 1;
  bool in_sentence_ = false;
};

}  // namespace embedcore
