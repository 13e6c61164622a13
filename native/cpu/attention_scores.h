// The tiles of the backward pass of attention: the softmax weights P, made again from the log-sum-exp, and the
// gradients dS of the scores, of a block of queries and a block of keys at a time (ops/attention.h). All are float32.
#pragma once

#include "cpu/heads.h"
#include "cpu/products.h"

namespace embedcore::cpu::EMBEDCORE_ISA {

constexpr int64_t kGradientQueries = 48;                               // of a block
constexpr int64_t kGradientKeys = 128;                                 // of a block: whole panels
constexpr int64_t kGradientStride = kGradientKeys + kWidth;            // of tiles; vectors may extend beyond their keys
static_assert(kGradientKeys % kPanel == 0 && kGradientKeys % 8 == 0);  // dropout has 8 numbers a counter

// Cuts the memory of a task into parts; without memory it only counts.
class Cutter {
 public:
  explicit Cutter(std::byte* memory) : memory_(memory) {}
  template <typename Element>
  Element* cut(int64_t count) {
    auto* part = memory_ ? reinterpret_cast<Element*>(memory_ + used_) : nullptr;
    used_ += static_cast<size_t>(round_up(count, 16)) * sizeof(Element);
    used_ = (used_ + 63) / 64 * 64;
    return part;
  }
  size_t used() const { return used_; }

 private:
  std::byte* memory_;
  size_t used_ = 0;
};

// One text. Queries, keys and rows of dy have `width` columns, head_dim rounded up to vectors; those beyond it are
// zero.
template <typename Dot>
class ScoreTiles {
 public:
  ScoreTiles(const AttentionArgs& forward, const float* dy, int64_t dy_stride, int64_t text);

  int64_t tokens() const { return n_; }
  int64_t begin() const { return begin_; }  // the text's first token
  int64_t width() const { return width_; }

  void place(Cutter& cutter);

  // Packs the keys and values of a key head.
  void take_keys(int64_t kv_head);

  // Queries first .. first + rows of a head. Returns the range of keys that any of them sees.
  KeyRange take_queries(int64_t head, int64_t first, int64_t rows);

  // weights and score_gradients of these queries and of keys of one block; both are zero where a query does not see a
  // key. Dropout is applied to the weights.
  void weigh(KeyRange keys);

  // The keys that row r sees among those of a block.
  KeyRange seen(int64_t r, KeyRange keys) const {
    const KeyRange range = visible(first_ + r);
    return {std::max(range.first, keys.first), std::min(range.last, keys.last)};
  }

  // [rows, kGradientStride]; column 0 is key j / kGradientKeys * kGradientKeys of a block that begins with key j.
  Matrix weights() const { return {weights_, kGradientStride}; }
  Matrix score_gradients() const { return {gradients_, kGradientStride}; }
  Matrix queries() const { return {queries_, width_}; }
  Matrix dy() const { return {dy_rows_, width_}; }
  Matrix keys() const { return {keys_, width_}; }  // of the text

 private:
  using Element = ElementOf<Dot>;

  KeyRange visible(int64_t i) const { return visible_keys(args_.mask, args_.window, prefix_, i, n_); }
  void multiply_panels(float* to, const float* rows, const float* panels, KeyRange keys) const;
  void weigh_row(int64_t r, KeyRange seen, KeyRange keys, int64_t block_key);
  template <bool kBias, bool kDrops>
  void weigh_seen(int64_t r, KeyRange seen, int64_t block_key);

  const AttentionArgs& args_;
  const float* dy_;
  int64_t dy_stride_, begin_, n_, prefix_, width_;
  bool drops_;
  int64_t head_ = 0, first_ = 0, rows_ = 0;
  float *keys_ = nullptr, *key_panels_ = nullptr, *value_panels_ = nullptr;  // rows, and panels of heads.h
  float *queries_ = nullptr, *dy_rows_ = nullptr, *weights_ = nullptr, *gradients_ = nullptr;
  float *lse_ = nullptr, *dots_ = nullptr;  // [rows]: in units of the powers; dy . y
  // Of dropout, [rows, numbers_stride_] from key first_number_ on.
  uint16_t* numbers_ = nullptr;
  int64_t first_number_ = 0, numbers_stride_ = 0;
};

}  // namespace embedcore::cpu::EMBEDCORE_ISA
