// The vocabulary, the blocks and the first weights of a StaticTrainer.
#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "static/trainer.h"

namespace embedcore {

namespace {

constexpr int64_t kBlockTokens = 10000;
constexpr size_t kTokensBetweenLooks = 1 << 20;

void keep_going(const StaticTrainer::Wanted& wanted) {
  if (!wanted()) fail(Code::kAborted, "the call was aborted");
}

uint64_t add_hash(uint64_t hash, uint64_t value) { return Random::mix(hash ^ value) * 0x9e3779b97f4a7c15ull; }

}  // namespace

void StaticTrainer::prepare(const Wanted& wanted) {
  corpus_ = reader_->finish();
  reader_.reset();
  for (int pass = 0; pass < options_.phrase_passes; ++pass)
    phrases_ += join_phrases(corpus_, options_.phrases, options_.corpus.scratch, [&] { keep_going(wanted); });
  vectors_ = std::make_shared<WordVectors>();
  std::vector<int32_t> new_ids;
  choose_words(new_ids);
  cut_blocks(new_ids, wanted);
  corpus_.tokens.reset();
  corpus_.words = WordTable();
  corpus_.counts = {};
  make_weights();
}

// Kept words by falling count, words of equal counts in the order of their first appearance.
void StaticTrainer::choose_words(std::vector<int32_t>& new_ids) {
  const std::vector<int64_t>& counts = corpus_.counts;
  std::vector<int32_t> order(counts.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return counts[static_cast<size_t>(a)] > counts[static_cast<size_t>(b)];
  });
  effective_min_count_ = std::max<int64_t>(options_.min_count, 1);
  const int64_t most = options_.max_final_words;
  if (most > 0 && static_cast<int64_t>(order.size()) > most)
    effective_min_count_ =
        std::max(effective_min_count_, counts[static_cast<size_t>(order[static_cast<size_t>(most)])] + 1);
  size_t kept = 0;
  while (kept < order.size() && counts[static_cast<size_t>(order[kept])] >= effective_min_count_) ++kept;
  if (kept < 2)
    fail(Code::kInvalidData,
         "the corpus has %lld tokens of %lld words, of which %zu come %lld times or more; at least 2 are needed",
         static_cast<long long>(corpus_.total), static_cast<long long>(counts.size()), kept,
         static_cast<long long>(effective_min_count_));
  new_ids.assign(counts.size(), TokenStore::kUnknown);
  WordVectors& vectors = *vectors_;
  vectors.words.reserve(static_cast<int64_t>(kept));
  corpus_hash_ = add_hash(kept, corpus_.total);
  for (size_t i = 0; i < kept; ++i) {
    const std::string_view word = corpus_.words.word(order[i]);
    new_ids[static_cast<size_t>(order[i])] = static_cast<int32_t>(vectors.words.add(word));
    vectors.counts.push_back(counts[static_cast<size_t>(order[i])]);
    kept_tokens_ += vectors.counts.back();
    corpus_hash_ = add_hash(corpus_hash_, hash_bytes(word));
    corpus_hash_ = add_hash(corpus_hash_, vectors.counts.back());
  }
  vectors.tokens = kept_tokens_;
}

void StaticTrainer::cut_blocks(const std::vector<int32_t>& new_ids, const Wanted& wanted) {
  blocks_.store = std::make_unique<TokenStore>(options_.corpus.scratch);
  TokenStore& out = *blocks_.store;
  blocks_.begins = {0};
  blocks_.tokens = {0};
  int64_t tokens = 0, sentence = 0;
  const auto end_sentence = [&] {
    if (sentence > 0) out.add(TokenStore::kEndOfSentence);
    sentence = 0;
    if (tokens - blocks_.tokens.back() < kBlockTokens) return;
    blocks_.begins.push_back(out.size());
    blocks_.tokens.push_back(tokens);
  };
  const std::span<const int32_t> from = corpus_.tokens->tokens();
  for (size_t i = 0; i < from.size(); ++i) {
    if (i % kTokensBetweenLooks == 0) keep_going(wanted);
    if (from[i] == TokenStore::kEndOfSentence) {
      end_sentence();
      continue;
    }
    const int32_t id = from[i] < 0 ? from[i] : new_ids[static_cast<size_t>(from[i])];
    if (id < 0) continue;
    out.add(id);
    corpus_hash_ = add_hash(corpus_hash_, static_cast<uint64_t>(id));
    ++tokens;
    if (++sentence == options_.longest_sentence) end_sentence();
  }
  if (sentence > 0) out.add(TokenStore::kEndOfSentence);
  if (blocks_.tokens.back() < tokens) {
    blocks_.begins.push_back(out.size());
    blocks_.tokens.push_back(tokens);
  }
  out.finish();
  // With max_words, tokens of a word from before it was last forgotten are not trained.
  kept_tokens_ = tokens;
}

void StaticTrainer::make_weights() {
  WordVectors& vectors = *vectors_;
  const int64_t words = vectors.words.size(), buckets = options_.rule.used() ? options_.rule.buckets : 0;
  vectors.format = buckets > 0 ? "fasttext" : "word2vec";
  vectors.dimension = options_.dimension;
  vectors.rule = buckets > 0 ? options_.rule : SubwordRule();
  vectors.inputs = RowBlock::zeros(words + buckets, options_.dimension);
  vectors.outputs = RowBlock::zeros(words, options_.dimension);
  FastTextSettings& settings = vectors.settings;
  settings.window = static_cast<int32_t>(options_.window);
  settings.epochs = static_cast<int32_t>(options_.epochs);
  settings.min_count = static_cast<int32_t>(std::min<int64_t>(effective_min_count_, INT32_MAX));
  settings.negative = static_cast<int32_t>(options_.negative);
  settings.loss = options_.negative > 0 ? 2 : 1;
  settings.model = options_.skip_gram ? 2 : 1;
  settings.sample = options_.sample;
  for (int64_t row = 0; row < words + buckets; ++row) {
    Random random(Random::mix(options_.seed) ^ Random::mix(~static_cast<uint64_t>(row)));
    float* to = vectors.inputs.row(row);
    for (int64_t d = 0; d < options_.dimension; ++d)
      to[d] = (2 * random.unit() - 1) / static_cast<float>(options_.dimension);
  }
  if (buckets > 0) {
    bucket_offsets_ = {0};
    for (int64_t word = 0; word < words; ++word) {
      vectors.rule.append(vectors.words.word(word), bucket_rows_);
      bucket_offsets_.push_back(static_cast<int64_t>(bucket_rows_.size()));
    }
    for (int32_t& row : bucket_rows_) row += static_cast<int32_t>(words);
  }
  keep_ = keep_probabilities(vectors.counts, kept_tokens_, options_.sample);
  if (options_.negative > 0) {
    sampler_ = std::make_unique<WordSampler>(vectors.counts, options_.exponent);
  } else {
    tree_ = make_huffman_tree(vectors.counts);
    if (tree_.deepest > kMostTargets)
      fail(Code::kInvalidData, "a path of %lld nodes is too long", static_cast<long long>(tree_.deepest));
  }
}

}  // namespace embedcore
