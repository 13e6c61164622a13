// Vectors of texts as weighted means of the vectors of their words.
//   row = sum_w weight(w) v(w) / sum_w weight(w)   (or / number of words, as SIF has it)
// v is a word's vector or, with `unit`, that vector divided by its length; words without a vector are left out.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "ops/backend.h"
#include "static/word_vectors.h"

namespace embedcore {

struct DocumentsRequest {
  std::string text;            // words end with a blank, texts with a line feed
  std::vector<size_t> begins;  // [documents + 1] in text
  std::vector<float> weights;  // [words] or empty = 1
  float other_weight = 1;      // of composed words, which have no number
  bool unit = false;           // fastText's sentence vectors: unit vectors, zero ones left out
  bool by_count = false;       // divide by the number of words and not by the sum of weights
  float* rows = nullptr;       // [documents, dimension]
  int32_t* known = nullptr;    // [documents]: words with a vector
};

void document_vectors(const WordVectors& vectors, const DocumentsRequest& request, int64_t first, int64_t last);

// The first right singular vector of rows [count, width] (not centred), of length 1, found by power iteration in
// float64; its largest value in magnitude is positive. All 0 where all rows are.
std::vector<double> common_component(const Stream& team, const float* rows, int64_t count, int64_t width,
                                     const std::function<void()>& keep_going);

}  // namespace embedcore
