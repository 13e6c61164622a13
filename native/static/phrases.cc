#include "static/phrases.h"

#include <cmath>
#include <limits>
#include <unordered_map>

#include "base/error.h"

namespace embedcore {

namespace {

constexpr size_t kTokensBetweenLooks = 1 << 20;

uint64_t pair_key(int32_t a, int32_t b) {
  return static_cast<uint64_t>(static_cast<uint32_t>(a)) << 32 | static_cast<uint32_t>(b);
}

// Counts by key, open addressing; a pair of words is never the largest key.
class PairCounts {
 public:
  explicit PairCounts(int64_t most) : most_(most) { grow(1 << 16); }
  void add(uint64_t key) {
    size_t slot = slot_of(key);
    if (keys_[slot] == kFree) {
      if (static_cast<size_t>(size_) * 2 >= keys_.size()) {
        grow(keys_.size() * 2);
        slot = slot_of(key);
      }
      keys_[slot] = key;
      ++size_;
    }
    ++counts_[slot];
    if (size_ > most_) forget();
  }
  int64_t count(uint64_t key) const {
    const size_t slot = slot_of(key);
    return keys_[slot] == kFree ? 0 : counts_[slot];
  }
  int64_t size() const { return size_; }

 private:
  static constexpr uint64_t kFree = std::numeric_limits<uint64_t>::max();
  size_t slot_of(uint64_t key) const {
    const size_t mask = keys_.size() - 1;
    uint64_t hash = key * 0x9e3779b97f4a7c15ull;
    hash ^= hash >> 29;
    size_t slot = static_cast<size_t>(hash) & mask;
    while (keys_[slot] != kFree && keys_[slot] != key) slot = (slot + 1) & mask;
    return slot;
  }
  void grow(size_t slots) { rebuild(slots, 0); }
  void forget() {
    rebuild(keys_.size(), least_);
    ++least_;
  }
  // Keeps the pairs that were seen more often than `least`.
  void rebuild(size_t slots, int64_t least) {
    std::vector<uint64_t> keys(slots, kFree);
    std::vector<int64_t> counts(slots, 0);
    keys.swap(keys_);
    counts.swap(counts_);
    size_ = 0;
    for (size_t i = 0; i < keys.size(); ++i) {
      if (keys[i] == kFree || counts[i] <= least) continue;
      const size_t slot = slot_of(keys[i]);
      keys_[slot] = keys[i];
      counts_[slot] = counts[i];
      ++size_;
    }
  }

  const int64_t most_;
  int64_t size_ = 0, least_ = 1;
  std::vector<uint64_t> keys_;
  std::vector<int64_t> counts_;
};

struct Scorer {
  const CountedCorpus& corpus;
  const PairCounts& pairs;
  const PhraseOptions& options;
  double kinds;

  bool joins(int32_t a, int32_t b) const {
    const auto n_a = static_cast<double>(corpus.counts[static_cast<size_t>(a)]),
               n_b = static_cast<double>(corpus.counts[static_cast<size_t>(b)]),
               n_ab = static_cast<double>(pairs.count(pair_key(a, b)));
    if (n_ab == 0) return false;
    const auto total = static_cast<double>(corpus.total), least = static_cast<double>(options.min_count);
    if (!options.npmi) return (n_ab - least) / n_a / n_b * kinds > options.threshold;
    if (n_ab < least) return false;
    const double p_ab = n_ab / total;
    return std::log(p_ab / (n_a / total * (n_b / total))) / -std::log(p_ab) > options.threshold;
  }
};

}  // namespace

int64_t join_phrases(CountedCorpus& corpus, const PhraseOptions& options, const std::string& scratch,
                     const std::function<void()>& keep_going) {
  const std::span<const int32_t> tokens = corpus.tokens->tokens();
  PairCounts pairs(options.max_pairs);
  for (size_t i = 0; i + 1 < tokens.size(); ++i) {
    if (tokens[i] >= 0 && tokens[i + 1] >= 0) pairs.add(pair_key(tokens[i], tokens[i + 1]));
    if (i % kTokensBetweenLooks == 0) keep_going();
  }
  const Scorer scorer{corpus, pairs, options, static_cast<double>(corpus.words.size() + pairs.size())};
  WordTable words;
  words.reserve(corpus.words.size());
  for (int64_t id = 0; id < corpus.words.size(); ++id) words.add(corpus.words.word(id));
  const int64_t words_before = words.size();
  std::unordered_map<uint64_t, int32_t> joined;
  auto out = std::make_unique<TokenStore>(scratch);
  int64_t total = 0;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (i % kTokensBetweenLooks == 0) keep_going();
    const bool pair = i + 1 < tokens.size() && tokens[i] >= 0 && tokens[i + 1] >= 0;
    if (!pair || !scorer.joins(tokens[i], tokens[i + 1])) {
      total += tokens[i] != TokenStore::kEndOfSentence;
      out->add(tokens[i]);
      continue;
    }
    const auto [found, is_new] = joined.try_emplace(pair_key(tokens[i], tokens[i + 1]), 0);
    if (is_new) {
      std::string phrase(corpus.words.word(tokens[i]));
      phrase.append(options.delimiter).append(corpus.words.word(tokens[i + 1]));
      const int64_t id = words.add(phrase);
      if (id > std::numeric_limits<int32_t>::max()) fail(Code::kInvalidData, "there are too many phrases");
      found->second = static_cast<int32_t>(id);
    }
    out->add(found->second);
    ++total;
    ++i;
  }
  out->finish();
  corpus.words = std::move(words);
  corpus.tokens = std::move(out);
  corpus.total = total;
  corpus.counts.assign(static_cast<size_t>(corpus.words.size()), 0);
  for (const int32_t token : corpus.tokens->tokens())
    if (token >= 0) ++corpus.counts[static_cast<size_t>(token)];
  return corpus.words.size() - words_before;
}

}  // namespace embedcore
