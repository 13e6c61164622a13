#include "cpu/attention_scores.h"

#include "cpu/dropout.h"

namespace embedcore::cpu::EMBEDCORE_ISA {
namespace {

template <typename Element>
void copy_rows(const Element* from, int64_t stride, int64_t rows, int64_t head_dim, float* to) {
  const int64_t width = round_up(head_dim, kWidth);
  for (int64_t r = 0; r < rows; ++r, from += stride, to += width)
    for (int64_t d = 0; d < width; d += kWidth) store(to + d, load_upto(from + d, head_dim - d));
}

}  // namespace

template <typename Dot>
ScoreTiles<Dot>::ScoreTiles(const AttentionArgs& forward, const float* dy, int64_t dy_stride, int64_t text)
    : args_(forward),
      dy_(dy),
      dy_stride_(dy_stride),
      begin_(forward.offsets[text]),
      n_(forward.offsets[text + 1] - begin_),
      prefix_(forward.mask == Mask::kPrefix ? forward.prefix[text] : 0),
      width_(round_up(forward.head_dim, kWidth)),
      drops_(dropout_threshold(forward.dropout.rate) > 0) {}

template <typename Dot>
void ScoreTiles<Dot>::place(Cutter& cutter) {
  keys_ = cutter.cut<float>(n_ * width_);
  key_panels_ = cutter.cut<float>(round_up(n_, kWidth) * args_.head_dim);
  value_panels_ = cutter.cut<float>(round_up(n_, kWidth) * args_.head_dim);
  queries_ = cutter.cut<float>(kGradientQueries * width_);
  dy_rows_ = cutter.cut<float>(kGradientQueries * width_);
  weights_ = cutter.cut<float>(kGradientQueries * kGradientStride);
  gradients_ = cutter.cut<float>(kGradientQueries * kGradientStride);
  lse_ = cutter.cut<float>(kGradientQueries);
  dots_ = cutter.cut<float>(kGradientQueries);
  if (drops_) numbers_ = cutter.cut<uint16_t>(kGradientQueries * kGradientKeys + 2 * kNumbersAtOnce);
}

template <typename Dot>
void ScoreTiles<Dot>::take_keys(int64_t kv_head) {
  const Element* keys =
      static_cast<const Element*>(args_.qkv) + begin_ * args_.qkv_stride + (args_.heads + kv_head) * args_.head_dim;
  const Element* values = keys + args_.kv_heads * args_.head_dim;
  if constexpr (Dot::kPerWord == 1) {
    pack_panels<FloatDot>(values, args_.qkv_stride, args_.head_dim, n_, reinterpret_cast<Word*>(value_panels_));
  } else {
    copy_rows(values, args_.qkv_stride, n_, args_.head_dim, keys_);
    pack_panels<FloatDot>(keys_, width_, args_.head_dim, n_, reinterpret_cast<Word*>(value_panels_));
  }
  copy_rows(keys, args_.qkv_stride, n_, args_.head_dim, keys_);
  pack_panels<FloatDot>(keys_, width_, args_.head_dim, n_, reinterpret_cast<Word*>(key_panels_));
}

template <typename Dot>
KeyRange ScoreTiles<Dot>::take_queries(int64_t head, int64_t first, int64_t rows) {
  head_ = head;
  first_ = first;
  rows_ = rows;
  const int64_t token = begin_ + first, column = head * args_.head_dim;
  copy_rows(static_cast<const Element*>(args_.qkv) + token * args_.qkv_stride + column, args_.qkv_stride, rows,
            args_.head_dim, queries_);
  copy_rows(dy_ + token * dy_stride_ + column, dy_stride_, rows, args_.head_dim, dy_rows_);
  const Element* y = static_cast<const Element*>(args_.y) + token * args_.y_stride + column;
  const float* lse = args_.lse + head * args_.offsets[args_.texts] + token;
  KeyRange keys = visible(first);
  for (int64_t r = 0; r < rows; ++r, y += args_.y_stride) {
    Vec dot = {};
    for (int64_t d = 0; d < width_; d += kWidth)
      dot += load(dy_rows_ + r * width_ + d) * load_upto(y + d, args_.head_dim - d);
    dots_[r] = sum_lanes(dot);
    lse_[r] = lse[r] * kScoreUnit<Dot>;
    const KeyRange range = visible(first + r);
    keys = {std::min(keys.first, range.first), std::max(keys.last, range.last)};
  }
  return keys;
}

// to [rows, keys of a block] = rows times the keys' columns of the panels, for whole vectors around the keys.
template <typename Dot>
void ScoreTiles<Dot>::multiply_panels(float* to, const float* rows, const float* panels, KeyRange keys) const {
  const int64_t block_key = keys.first / kGradientKeys * kGradientKeys, end = round_up(keys.last, kWidth);
  for (int64_t first = keys.first / kWidth * kWidth; first < end;) {
    const int64_t panel = first / kPanel * kPanel;
    const int64_t across = std::min<int64_t>(kPanel, round_up(n_, kWidth) - panel);
    const int64_t last = std::min(panel + across, end);
    multiply_small<Left::kRows>(to + (first - block_key), kGradientStride, {rows, width_},
                                {panels + panel * args_.head_dim + (first - panel), across}, rows_,
                                (last - first) / kWidth, args_.head_dim, false);
    first = last;
  }
}

template <typename Dot>
void ScoreTiles<Dot>::weigh(KeyRange keys) {
  multiply_panels(weights_, queries_, key_panels_, keys);
  multiply_panels(gradients_, dy_rows_, value_panels_, keys);
  const int64_t block_key = keys.first / kGradientKeys * kGradientKeys;
  if (drops_) {
    const Dropout dropout = dropout_of(args_, head_);
    first_number_ = keys.first / kCounterNumbers * kCounterNumbers;
    numbers_stride_ = round_up(keys.last - first_number_, kCounterNumbers);
    dropout_numbers(dropout, dropout.rows + begin_ + first_, rows_, first_number_, numbers_stride_, numbers_);
  }
  for (int64_t r = 0; r < rows_; ++r) weigh_row(r, seen(r, keys), keys, block_key);
}

template <typename Dot>
void ScoreTiles<Dot>::weigh_row(int64_t r, KeyRange seen, KeyRange keys, int64_t block_key) {
  float* weights = weights_ + r * kGradientStride;
  float* gradients = gradients_ + r * kGradientStride;
  keys = {keys.first - block_key, keys.last - block_key};
  if (seen.first >= seen.last) {
    std::fill(weights + keys.first, weights + keys.last, 0.0f);
    std::fill(gradients + keys.first, gradients + keys.last, 0.0f);
    return;
  }
  if (args_.bias)
    drops_ ? weigh_seen<true, true>(r, seen, block_key) : weigh_seen<true, false>(r, seen, block_key);
  else
    drops_ ? weigh_seen<false, true>(r, seen, block_key) : weigh_seen<false, false>(r, seen, block_key);
  seen = {seen.first - block_key, seen.last - block_key};
  std::fill(weights + keys.first, weights + seen.first, 0.0f);
  std::fill(gradients + keys.first, gradients + seen.first, 0.0f);
  if (seen.last >= keys.last) return;
  std::fill(weights + seen.last, weights + keys.last, 0.0f);
  std::fill(gradients + seen.last, gradients + keys.last, 0.0f);
}

// The last vector may extend beyond what the row sees.
template <typename Dot>
template <bool kBias, bool kDrops>
void ScoreTiles<Dot>::weigh_seen(int64_t r, KeyRange seen, int64_t block_key) {
  float* weights = weights_ + r * kGradientStride;
  float* gradients = gradients_ + r * kGradientStride;
  const Vec scale = broadcast(args_.scale * kScoreUnit<Dot>), lse = broadcast(lse_[r]), dot = broadcast(dots_[r]);
  [[maybe_unused]] const float* bias = nullptr;  // of the block's first key
  if constexpr (kBias)
    bias = args_.bias + head_ * (2 * args_.bias_reach + 1) + args_.bias_reach - (first_ + r) + block_key;
  const Dropped dropped(args_.dropout);
  [[maybe_unused]] const uint16_t* numbers = numbers_ + r * numbers_stride_;
  for (int64_t key = seen.first; key < seen.last; key += kWidth) {
    const int64_t j = key - block_key;
    Vec score = load(weights + j) * scale - lse;
    if constexpr (kBias) score += load_upto(bias + j, seen.last - key) * broadcast(kScoreUnit<Dot>);
    const Vec weight = power<Dot>(score);
    Vec kept = weight, gradient = load(gradients + j);
    if constexpr (kDrops) {
      kept = dropped(kept, numbers + (key - first_number_));
      gradient = dropped(gradient, numbers + (key - first_number_));
    }
    store(weights + j, kept);
    store(gradients + j, weight * (gradient - dot));
  }
}

template class ScoreTiles<FloatDot>;
template class ScoreTiles<Bfloat16Dot>;

}  // namespace embedcore::cpu::EMBEDCORE_ISA
