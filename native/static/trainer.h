// Word2Vec: skip-gram and CBOW, negative sampling and hierarchical softmax, with or without subwords.
//
// The corpus is read once (corpus.h), phrases are joined, rare words removed. What is left is cut into blocks of whole
// sentences. A block's random numbers are keyed by (seed, epoch, block) and its learning rate follows from its place in
// the corpus, so a block does the same work whoever trains it and whenever. One thread trains blocks in order: the
// result is the same, bit for bit, on one instruction set. Several threads train blocks at the same time without locks
// (ops/word_kernels.h) and give slightly different results from run to run.
//
// One token: the centre, with the tokens at most r to each side as its context, r uniform in 1 .. window.
//   skip-gram  for each token of the context: h = the centre's input, target = the token of the context
//   CBOW       h = the mean (or sum) of the inputs of the context, target = the centre
// A word's input is its row or, with subwords, the mean of its row and those of its n-grams. The step on h and the
// target's output rows is that of ops/word_kernels.h; e is then added to every input row that h came from, undivided
// as word2vec, gensim and fastText have it, or with exact_cbow divided by their number, as the derivative is.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "ops/backend.h"
#include "ops/word_kernels.h"
#include "static/corpus.h"
#include "static/huffman.h"
#include "static/phrases.h"
#include "static/sampler.h"
#include "static/word_vectors.h"

namespace embedcore {

struct StaticTrainerOptions {
  CorpusOptions corpus;
  int phrase_passes = 0;
  PhraseOptions phrases;
  int64_t min_count = 5;
  int64_t max_final_words = 0;  // 0 = no limit; otherwise min_count is raised until the words fit
  int64_t dimension = 100, window = 5, epochs = 5;
  int64_t negative = 5;  // 0 = hierarchical softmax
  bool skip_gram = false, cbow_mean = true, exact_cbow = false, shrink_windows = true;
  double rate = 0.025, least_rate = 1e-4, sample = 1e-3, exponent = 0.75;
  int64_t longest_sentence = 10000;
  SubwordRule rule;
  uint64_t seed = 1;
  int threads = 1;
};

// The part of the corpus that is trained, as blocks of whole sentences of about kBlockTokens.
struct TrainingBlocks {
  std::unique_ptr<TokenStore> store;  // numbers of kept words
  std::vector<int64_t> begins;        // [blocks + 1] in the store
  std::vector<int64_t> tokens;        // [blocks + 1] tokens before each block
  int64_t count() const { return static_cast<int64_t>(begins.size()) - 1; }
};

struct StaticProgress {
  int64_t block = 0, blocks = 0;  // of all epochs
  int64_t tokens = 0;             // trained, of all epochs; those that subsampling left out count
  double rate = 0;
  double loss = 0;  // mean over the sampled steps of this call; NaN = none was sampled
};

class StaticTrainer {
 public:
  using Wanted = std::function<bool()>;

  // Throws Error(kWriteFailed).
  StaticTrainer(const StaticTrainerOptions& options, const WordKernels& kernels);

  CorpusReader& reader() { return *reader_; }
  // Ends the corpus and makes the vocabulary and the weights. Throws Error(kInvalidData) for a corpus without enough
  // words, std::bad_alloc.
  void prepare(const Wanted& wanted);

  // Trains for about this long, at least one block a thread; stops early, between blocks, when `wanted` says no.
  StaticProgress train(const Stream& team, double seconds, const Wanted& wanted);
  StaticProgress progress() const;
  bool done() const { return block_ == blocks_.count() * options_.epochs; }

  const WordVectors& vectors() const { return *vectors_; }
  std::shared_ptr<WordVectors> shared_vectors() const { return vectors_; }
  const CountedCorpus& corpus() const { return corpus_; }
  int64_t phrases() const { return phrases_; }
  int64_t effective_min_count() const { return effective_min_count_; }
  int64_t kept_tokens() const { return kept_tokens_; }
  // Of the kept words, their counts and the order of their tokens: equal for equal corpora and options of vocabulary.
  uint64_t corpus_hash() const { return corpus_hash_; }

  // The weights in a safetensors file. A run that reads them at the block where they were written goes on as the run
  // that wrote them. Throws Error(kWriteFailed).
  void write_state(const std::string& path, const std::map<std::string, std::string>& metadata) const;
  // Throws Error(kInvalidFile) for what is not a state; Error(kInvalidOption) for weights of other shapes.
  void read_state(const std::string& path, int64_t block);

 private:
  friend class BlockTrainer;
  void choose_words(std::vector<int32_t>& new_ids);
  void cut_blocks(const std::vector<int32_t>& new_ids, const Wanted& wanted);
  void make_weights();
  double rate_at(int64_t block) const;

  const StaticTrainerOptions options_;
  const WordKernels& kernels_;
  std::unique_ptr<CorpusReader> reader_;
  CountedCorpus corpus_;  // after prepare(): its numbers, without words and tokens
  int64_t phrases_ = 0, effective_min_count_ = 0, kept_tokens_ = 0;
  uint64_t corpus_hash_ = 0;

  std::shared_ptr<WordVectors> vectors_;
  TrainingBlocks blocks_;
  std::vector<float> keep_;
  std::unique_ptr<WordSampler> sampler_;  // negative sampling
  HuffmanTree tree_;                      // hierarchical softmax
  std::vector<int64_t> bucket_offsets_;   // [words + 1], with subwords: the input rows of each word after its own
  std::vector<int32_t> bucket_rows_;

  int64_t block_ = 0;  // the next one, counted through all epochs
  double block_seconds_ = 0;
};

}  // namespace embedcore
