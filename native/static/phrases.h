// Joins neighbouring words that stand together more often than by chance, such as new_york.
//   original  (n_ab - min_count) / (n_a n_b) * (different words and pairs)      Mikolov et al. 2013, as gensim scales
//   it npmi      ln(p_ab / (p_a p_b)) / -ln(p_ab), for n_ab >= min_count           -1 .. 1
// A pair whose score is above the threshold is joined, from left to right in each sentence; a word that was joined to
// the one on its left is not joined again.
#pragma once

#include <functional>
#include <string>

#include "static/corpus.h"

namespace embedcore {

struct PhraseOptions {
  int64_t min_count = 5;
  double threshold = 10;
  bool npmi = false;
  std::string delimiter = "_";
  int64_t max_pairs = 40000000;  // when there are more, pairs seen the fewest times are forgotten
};

// Joins the phrases of one pass; returns how many different ones there are.
int64_t join_phrases(CountedCorpus& corpus, const PhraseOptions& options, const std::string& scratch,
                     const std::function<void()>& keep_going);

}  // namespace embedcore
