// The words whose vectors are nearest to queries, by cosine; computed in tiles of words, in any order.
//
// A query is a list of terms t with signs. The score of a word x, with c = cos(t, x):
//   one term      c
//   several       product of (1 + c) / 2 over positive terms / (product over negative ones + 1e-6), 3CosMul
// (3CosAdd is one term: the sum of signed unit vectors, made by the caller.) Of equal scores the lower number is first.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "ops/backend.h"
#include "static/word_vectors.h"

namespace embedcore {

// Unit rows in tiles. Composed vectors (subwords) are kept once they were made; others are normalised at each use.
class UnitTiles {
 public:
  static constexpr int64_t kRows = 1024;
  explicit UnitTiles(SharedVectors vectors);
  const WordVectors& vectors() const { return *vectors_; }
  // Rows of tile `index`, dense; in `scratch` or kept.
  const float* rows(int64_t index, std::vector<float>& scratch);
  int64_t count(int64_t index) const;

 private:
  void fill(int64_t index, std::vector<float>& to) const;
  const SharedVectors vectors_;
  struct Kept {
    std::once_flag once;
    std::vector<float> rows;
  };
  std::vector<Kept> kept_;
};

struct NearestRequest {
  std::vector<float> terms;       // [terms, dimension]
  std::vector<uint8_t> negative;  // [terms]
  std::vector<int32_t> offsets;   // [queries + 1]: terms of each query
  std::vector<int32_t> excluded, excluded_offsets;
  int64_t count = 10;       // words of each query
  int64_t restrict = 0;     // only the first words; 0 = all
  int32_t* ids = nullptr;   // [queries, count]; -1 = there are no more words
  float* scores = nullptr;  // [queries, count]
};

class NearestSearch {
 public:
  NearestSearch(std::shared_ptr<UnitTiles> tiles, NearestRequest request, const Backend& backend);
  int64_t slices() const { return slices_; }
  // The last slice writes the result.
  void run(int64_t slice, Stream& stream);

 private:
  struct Found {
    float score;
    int32_t id;
    bool operator<(const Found& other) const { return score != other.score ? score > other.score : id < other.id; }
  };
  void keep(int64_t query, const float* scores, int64_t stride, int64_t first, int64_t rows,
            std::vector<Found>& best) const;
  float score(int64_t query, const float* cosines, int64_t stride) const;
  bool is_excluded(int64_t query, int32_t id) const;
  void merge(int64_t query, std::vector<Found>& best);

  const std::shared_ptr<UnitTiles> tiles_;
  NearestRequest request_;
  const Backend& backend_;
  int64_t queries_, rows_, slices_;
  std::mutex mutex_;
  // Guarded by mutex_.
  std::vector<std::vector<Found>> best_;  // of each query, sorted
  int64_t done_ = 0;
};

}  // namespace embedcore
