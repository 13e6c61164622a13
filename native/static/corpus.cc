#include "static/corpus.h"

#include <array>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "base/utf8.h"

namespace embedcore {

namespace {

constexpr std::array<bool, 256> white_space() {
  std::array<bool, 256> table{};
  for (const unsigned char byte : {' ', '\t', '\n', '\v', '\f', '\r', '\0'}) table[byte] = true;
  return table;
}
constexpr std::array<bool, 256> kWhiteSpace = white_space();

bool well_formed(std::string_view word) {
  while (!word.empty()) {
    uint64_t eight = 0;
    if (word.size() >= sizeof eight) {
      std::memcpy(&eight, word.data(), sizeof eight);
      if ((eight & 0x8080808080808080ull) == 0) {
        word.remove_prefix(sizeof eight);
        continue;
      }
    }
    const size_t length = utf8_length(word);
    if (length == 0) return false;
    word.remove_prefix(length);
  }
  return true;
}

}  // namespace

CorpusReader::CorpusReader(const CorpusOptions& options)
    : options_(options), tokens_(std::make_unique<TokenStore>(options.scratch)) {}

void CorpusReader::take(std::string_view word) {
  if (!well_formed(word)) {
    if (!options_.skip_invalid)
      fail(Code::kInvalidData,
           "line %lld of the corpus has the word %s, which is not UTF-8; with invalidUtf8 'skip' such words are left "
           "out and counted",
           static_cast<long long>(line_), quote(word).c_str());
    ++invalid_;
    return;
  }
  const int64_t before = words_.size(), id = words_.add(word);
  if (id == before) {
    if (next_number_ == std::numeric_limits<int32_t>::max())
      fail(Code::kInvalidData, "the corpus has more than %d different words", next_number_);
    counts_.push_back(0);
    numbers_.push_back(next_number_++);
  }
  ++counts_[static_cast<size_t>(id)];
  tokens_->add(numbers_[static_cast<size_t>(id)]);
  ++total_;
  in_sentence_ = true;
  if (options_.max_words > 0 && words_.size() > options_.max_words) forget();
}

void CorpusReader::forget() {
  WordTable kept;
  std::vector<int64_t> counts;
  std::vector<int32_t> numbers;
  for (int64_t id = 0; id < words_.size(); ++id) {
    const auto i = static_cast<size_t>(id);
    if (counts_[i] <= least_) continue;
    kept.add(words_.word(id));
    counts.push_back(counts_[i]);
    numbers.push_back(numbers_[i]);
  }
  forgotten_ += words_.size() - kept.size();
  ++least_;
  words_ = std::move(kept);
  counts_.swap(counts);
  numbers_.swap(numbers);
}

void CorpusReader::end_sentence() {
  if (in_sentence_) {
    tokens_->add(TokenStore::kEndOfSentence);
    ++sentences_;
  }
  in_sentence_ = false;
}

void CorpusReader::add(std::string_view text) {
  size_t begin = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (!kWhiteSpace[byte]) continue;
    if (!rest_.empty()) {
      rest_.append(text.substr(begin, i - begin));
      take(rest_);
      rest_.clear();
    } else if (i > begin) {
      take(text.substr(begin, i - begin));
    }
    begin = i + 1;
    if (byte == '\n') {
      end_sentence();
      ++line_;
    }
  }
  rest_.append(text.substr(begin));
}

CountedCorpus CorpusReader::finish() {
  if (!rest_.empty()) take(rest_);
  rest_.clear();
  end_sentence();
  CountedCorpus corpus;
  corpus.total = total_;
  corpus.sentences = sentences_;
  corpus.invalid = invalid_;
  corpus.forgotten = forgotten_;
  const std::span<const int32_t> tokens = tokens_->finish();
  if (forgotten_ == 0) {
    corpus.tokens = std::move(tokens_);  // the numbers are those of the table
  } else {
    std::vector<int32_t> id_of(static_cast<size_t>(next_number_), TokenStore::kUnknown);
    for (size_t id = 0; id < numbers_.size(); ++id) id_of[static_cast<size_t>(numbers_[id])] = static_cast<int32_t>(id);
    corpus.tokens = std::make_unique<TokenStore>(options_.scratch);
    for (const int32_t token : tokens) corpus.tokens->add(token < 0 ? token : id_of[static_cast<size_t>(token)]);
    corpus.tokens->finish();
    tokens_.reset();
  }
  corpus.words = std::move(words_);
  corpus.counts = std::move(counts_);
  return corpus;
}

}  // namespace embedcore
