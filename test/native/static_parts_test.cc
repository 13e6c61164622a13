// The parts of Word2Vec training: words, corpus, subwords, tree, sampler.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <numeric>

#include "base/error.h"
#include "static/corpus.h"
#include "static/huffman.h"
#include "static/phrases.h"
#include "static/sampler.h"
#include "static/subwords.h"

namespace embedcore {
namespace {

CorpusOptions corpus_options() {
  CorpusOptions options;
  options.scratch = std::filesystem::temp_directory_path().string();
  return options;
}

std::string text_of(const CountedCorpus& corpus) {
  std::string text;
  for (const int32_t token : corpus.tokens->tokens())
    text += token == TokenStore::kEndOfSentence ? std::string("/ ")
            : token == TokenStore::kUnknown     ? std::string("? ")
                                                : std::string(corpus.words.word(token)) + " ";
  return text;
}

TEST(WordTable, NumbersWordsInTheOrderOfTheirFirstAppearance) {
  WordTable table;
  for (int i = 0; i < 5000; ++i) EXPECT_EQ(table.add("word" + std::to_string(i)), i);
  for (int i = 0; i < 5000; ++i) EXPECT_EQ(table.add("word" + std::to_string(i)), i);
  EXPECT_EQ(table.find("word4999"), 4999);
  EXPECT_EQ(table.find("word5000"), WordTable::kNone);
  EXPECT_EQ(table.word(17), "word17");
}

// Values of fastText; an unsigned byte would give 4086528947 for the second.
TEST(Subwords, HashesSignExtendedBytes) {
  EXPECT_EQ(subword_hash("<wh"), 1048167652u);
  EXPECT_EQ(subword_hash("手机"), 2611018675u);
  EXPECT_EQ(subword_hash("ñ"), 620380921u);
  EXPECT_EQ(subword_hash("é>"), 4247996781u);
}

TEST(Subwords, CutsCodePointsAndLeavesOutLoneMarks) {
  std::vector<int32_t> buckets;
  SubwordRule{1, 2, 1000003}.append("é手", buckets);
  std::vector<int32_t> expected;
  for (const char* gram : {"<é", "é", "é手", "手", "手>"})
    expected.push_back(static_cast<int32_t>(subword_hash(gram) % 1000003));
  EXPECT_EQ(buckets, expected);
  buckets.clear();
  SubwordRule{3, 6, 100}.append("</s>", buckets);
  EXPECT_TRUE(buckets.empty());
}

TEST(Corpus, IsTheSameHoweverItIsCut) {
  const std::string text = "a b\tc\n\n b  手机 \r\na\v\f b";
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    CorpusReader reader(corpus_options());
    reader.add(text.substr(0, cut));
    reader.add(text.substr(cut));
    const CountedCorpus corpus = reader.finish();
    EXPECT_EQ(text_of(corpus), "a b c / b 手机 / a b / ");
    EXPECT_EQ(corpus.counts, (std::vector<int64_t>{2, 3, 1, 1}));
    EXPECT_EQ(corpus.total, 7);
    EXPECT_EQ(corpus.sentences, 3);
  }
}

TEST(Corpus, RefusesOrCountsWordsThatAreNotUtf8) {
  CorpusReader strict(corpus_options());
  try {
    strict.add(
        "good\nb\xff"
        "ad word\n");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code, Code::kInvalidData);
    EXPECT_NE(std::string(error.what()).find("line 2"), std::string::npos) << error.what();
  }
  CorpusOptions options = corpus_options();
  options.skip_invalid = true;
  CorpusReader reader(options);
  reader.add(
      "good b\xff"
      "ad word b\xff"
      "ad\n");
  const CountedCorpus corpus = reader.finish();
  EXPECT_EQ(text_of(corpus), "good word / ");
  EXPECT_EQ(corpus.invalid, 2);
}

TEST(Corpus, ForgetsRareWords) {
  CorpusOptions options = corpus_options();
  options.max_words = 2;
  CorpusReader reader(options);
  reader.add("a a b c a c c\n");  // `c` is the third word: b, c go; a then comes back
  const CountedCorpus corpus = reader.finish();
  EXPECT_EQ(corpus.forgotten, 2);
  EXPECT_EQ(text_of(corpus), "a a ? ? a c c / ");
  EXPECT_EQ(corpus.counts, (std::vector<int64_t>{3, 2}));
}

TEST(Phrases, AreJoinedFromLeftToRight) {
  CorpusReader reader(corpus_options());
  for (int i = 0; i < 20; ++i) reader.add("new york city\n");
  reader.add("york new\n");
  CountedCorpus corpus = reader.finish();
  PhraseOptions options;
  options.min_count = 2;
  options.threshold = 0.1;
  // (20 - 2) / (21 * 21) * (3 words + 3 pairs) = 0.245
  EXPECT_EQ(join_phrases(corpus, options, corpus_options().scratch, [] {}), 1);
  EXPECT_EQ(text_of(corpus).substr(0, 16), "new_york city / ");
  EXPECT_EQ(corpus.counts[static_cast<size_t>(corpus.words.find("new_york"))], 20);
  EXPECT_EQ(corpus.counts[static_cast<size_t>(corpus.words.find("york"))], 1);
  EXPECT_EQ(corpus.total, 42);
}

TEST(Huffman, IsTheShortestCode) {
  const std::vector<int64_t> counts = {50, 20, 15, 10, 5};
  const HuffmanTree tree = make_huffman_tree(counts);
  // By hand: 5 + 10 = 15, 15 + 15 = 30, 20 + 30 = 50, 50 + 50.
  std::vector<int64_t> lengths;
  int64_t cost = 0;
  double kraft = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    lengths.push_back(tree.offsets[i + 1] - tree.offsets[i]);
    cost += counts[i] * lengths.back();
    kraft += std::pow(0.5, static_cast<double>(lengths.back()));
    EXPECT_EQ(tree.nodes[static_cast<size_t>(tree.offsets[i + 1]) - 1], 3);  // the root
  }
  EXPECT_EQ(cost, 50 * 1 + 20 * 2 + 15 * 3 + (10 + 5) * 4);
  EXPECT_EQ(kraft, 1.0);
  EXPECT_EQ(tree.deepest, 4);
}

// 3.2 million draws: a share p is off by about sqrt(p / draws), 6e-5 to 4e-4 here; five of these are allowed.
TEST(Sampler, DrawsInProportion) {
  const std::vector<int64_t> counts = {1000, 300, 20, 20, 1};
  for (const double exponent : {0.75, 0.0, -0.5, 1.0}) {
    const WordSampler sampler(counts, exponent);
    Random random(42);
    constexpr int kDraws = 3200000;
    std::vector<int> seen(counts.size());
    for (int i = 0; i < kDraws; ++i) ++seen[static_cast<size_t>(sampler.draw(random))];
    double sum = 0;
    for (const int64_t count : counts) sum += std::pow(static_cast<double>(count), exponent);
    for (size_t i = 0; i < counts.size(); ++i) {
      const double p = std::pow(static_cast<double>(counts[i]), exponent) / sum;
      EXPECT_NEAR(seen[i] / static_cast<double>(kDraws), p, 5 * std::sqrt(p / kDraws)) << exponent << " " << i;
    }
  }
}

TEST(Sampler, KeepsRareWords) {
  const std::vector<float> keep = keep_probabilities({900000, 99900, 100}, 1000000, 1e-3);
  EXPECT_FLOAT_EQ(keep[0], static_cast<float>(std::sqrt(1e-3 / 0.9) + 1e-3 / 0.9));
  EXPECT_FLOAT_EQ(keep[1], static_cast<float>(std::sqrt(1e-3 / 0.0999) + 1e-3 / 0.0999));
  EXPECT_EQ(keep[2], 1.0f);
  EXPECT_EQ(keep_probabilities({5}, 5, 0)[0], 1.0f);
}

}  // namespace
}  // namespace embedcore
