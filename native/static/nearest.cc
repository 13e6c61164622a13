#include "static/nearest.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "ops/vectors.h"

namespace embedcore {

namespace {

constexpr int64_t kTermsAtOnce = 256;
constexpr float kLeast = 1e-6f;  // gensim's: a product of negative terms may be 0

void make_unit(float* row, int64_t width) {
  double squares = 0;
  for (int64_t d = 0; d < width; ++d) squares += static_cast<double>(row[d]) * row[d];
  const float factor = squares > 0 ? static_cast<float>(1 / std::sqrt(squares)) : 0.0f;
  for (int64_t d = 0; d < width; ++d) row[d] *= factor;
}

}  // namespace

UnitTiles::UnitTiles(SharedVectors vectors) : vectors_(std::move(vectors)) {
  if (vectors_->rule.used())
    kept_ = std::vector<Kept>(static_cast<size_t>((vectors_->words.size() + kRows - 1) / kRows));
}

int64_t UnitTiles::count(int64_t index) const { return std::min(kRows, vectors_->words.size() - index * kRows); }

void UnitTiles::fill(int64_t index, std::vector<float>& to) const {
  const int64_t width = vectors_->dimension, rows = count(index);
  to.resize(static_cast<size_t>(rows * width));
  for (int64_t i = 0; i < rows; ++i) {
    vectors_->vector(index * kRows + i, to.data() + i * width);
    make_unit(to.data() + i * width, width);
  }
}

const float* UnitTiles::rows(int64_t index, std::vector<float>& scratch) {
  if (kept_.empty()) {
    fill(index, scratch);
    return scratch.data();
  }
  Kept& kept = kept_[static_cast<size_t>(index)];
  std::call_once(kept.once, [&] { fill(index, kept.rows); });
  return kept.rows.data();
}

NearestSearch::NearestSearch(std::shared_ptr<UnitTiles> tiles, NearestRequest request, const Backend& backend)
    : tiles_(std::move(tiles)), request_(std::move(request)), backend_(backend) {
  const WordVectors& vectors = tiles_->vectors();
  vectors.check();
  queries_ = static_cast<int64_t>(request_.offsets.size()) - 1;
  rows_ = request_.restrict > 0 ? std::min(request_.restrict, vectors.words.size()) : vectors.words.size();
  slices_ = (rows_ + UnitTiles::kRows - 1) / UnitTiles::kRows;
  best_.resize(static_cast<size_t>(queries_));
  for (size_t term = 0; term < request_.negative.size(); ++term)
    make_unit(request_.terms.data() + static_cast<int64_t>(term) * vectors.dimension, vectors.dimension);
}

float NearestSearch::score(int64_t query, const float* cosines, int64_t stride) const {
  const int64_t begin = request_.offsets[static_cast<size_t>(query)],
                end = request_.offsets[static_cast<size_t>(query) + 1];
  if (end - begin == 1) return cosines[0];
  float above = 1, below = 1;
  for (int64_t term = begin; term < end; ++term)
    (request_.negative[static_cast<size_t>(term)] ? below : above) *= (1 + cosines[(term - begin) * stride]) / 2;
  return above / (below + kLeast);
}

bool NearestSearch::is_excluded(int64_t query, int32_t id) const {
  const auto begin = request_.excluded.begin();
  const auto from = begin + request_.excluded_offsets[static_cast<size_t>(query)],
             to = begin + request_.excluded_offsets[static_cast<size_t>(query) + 1];
  return std::find(from, to, id) != to;
}

void NearestSearch::keep(int64_t query, const float* scores, int64_t stride, int64_t first, int64_t rows,
                         std::vector<Found>& best) const {
  best.clear();
  for (int64_t i = 0; i < rows; ++i) {
    const Found found{score(query, scores + i, stride), static_cast<int32_t>(first + i)};
    const bool full = static_cast<int64_t>(best.size()) == request_.count;
    if ((full && !(found < best.front())) || is_excluded(query, found.id)) continue;
    if (full) {
      std::pop_heap(best.begin(), best.end());
      best.back() = found;
    } else {
      best.push_back(found);
    }
    std::push_heap(best.begin(), best.end());
  }
}

void NearestSearch::merge(int64_t query, std::vector<Found>& best) {
  std::sort(best.begin(), best.end());
  std::vector<Found> both;
  std::lock_guard lock(mutex_);
  std::vector<Found>& old = best_[static_cast<size_t>(query)];
  std::merge(old.begin(), old.end(), best.begin(), best.end(), std::back_inserter(both));
  if (static_cast<int64_t>(both.size()) > request_.count) both.resize(static_cast<size_t>(request_.count));
  old.swap(both);
}

void NearestSearch::run(int64_t slice, Stream& stream) {
  const int64_t width = tiles_->vectors().dimension, first = slice * UnitTiles::kRows,
                rows = std::min(UnitTiles::kRows, rows_ - first);
  std::vector<float> scratch, cosines;
  std::vector<Found> best;
  const float* unit = tiles_->rows(slice, scratch);
  for (int64_t begin = 0; begin < queries_;) {
    const int64_t term = request_.offsets[static_cast<size_t>(begin)];
    int64_t end = begin + 1;  // as many queries as have about kTermsAtOnce terms
    while (end < queries_ && request_.offsets[static_cast<size_t>(end) + 1] - term <= kTermsAtOnce) ++end;
    const int64_t terms = request_.offsets[static_cast<size_t>(end)] - term;
    cosines.resize(static_cast<size_t>(terms * rows));
    const Status status = backend_.similarity(stream, {.kind = Similarity::kDot,
                                                       .a = request_.terms.data() + term * width,
                                                       .b = unit,
                                                       .rows_a = terms,
                                                       .rows_b = rows,
                                                       .width = width,
                                                       .y = cosines.data()});
    if (status != kOk) fail(Code::kOutOfMemory, "no memory to compare %lld vectors", static_cast<long long>(terms));
    for (int64_t query = begin; query < end; ++query) {
      keep(query, cosines.data() + (request_.offsets[static_cast<size_t>(query)] - term) * rows, rows, first, rows,
           best);
      merge(query, best);
    }
    begin = end;
  }
  std::lock_guard lock(mutex_);
  if (++done_ < slices_) return;
  for (int64_t query = 0; query < queries_; ++query) {
    for (int64_t i = 0; i < request_.count; ++i) {
      const std::vector<Found>& found = best_[static_cast<size_t>(query)];
      const bool is_there = i < static_cast<int64_t>(found.size());
      request_.ids[query * request_.count + i] = is_there ? found[static_cast<size_t>(i)].id : -1;
      request_.scores[query * request_.count + i] = is_there ? found[static_cast<size_t>(i)].score : 0.0f;
    }
  }
}

}  // namespace embedcore
