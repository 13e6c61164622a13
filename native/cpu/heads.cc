#include "cpu/heads.h"

#include <algorithm>
#include <cmath>

namespace embedcore::cpu::EMBEDCORE_ISA {
namespace {

template <typename Element>
void prepare_head(const AttentionArgs& args, Element* x, const float* norm, int64_t position) {
  Vec scale = broadcast(1.0f);
  if (norm) {
    Vec squares = {};
    for (int64_t i = 0; i < args.head_dim; i += kWidth) {
      const Vec value = load_upto(x + i, args.head_dim - i);
      squares += value * value;
    }
    scale = broadcast(1.0f / std::sqrt(sum_lanes(squares) / static_cast<float>(args.head_dim) + args.qk_norm_epsilon));
  }
  const auto value = [&](int64_t i, int64_t n) {
    const Vec element = load_upto(x + i, n);
    return norm ? element * scale * load_upto(norm + i, n) : element;
  };
  const int64_t half = args.rope_cos ? args.rotary_dim / 2 : 0;
  const float* cosine = args.rope_cos + position * half;
  const float* sine = args.rope_sin + position * half;
  for (int64_t i = 0; i < half; i += kWidth) {
    const int64_t n = half - i;
    const Vec a = value(i, n), b = value(half + i, n), c = load_upto(cosine + i, n), s = load_upto(sine + i, n);
    store_upto(x + i, a * c - b * s, n);
    store_upto(x + half + i, b * c + a * s, n);
  }
  if (norm)
    for (int64_t i = 2 * half; i < args.head_dim; i += kWidth)
      store_upto(x + i, value(i, args.head_dim - i), args.head_dim - i);
}

// Word k of a row of n elements, zero beyond them.
template <typename Element>
Word word_at(const Element* row, int64_t n, int64_t k) {
  constexpr int64_t kPerWord = sizeof(Word) / sizeof(Element);
  Word word = 0;
  std::memcpy(&word, row + k * kPerWord, static_cast<size_t>(std::min(kPerWord, n - k * kPerWord)) * sizeof(Element));
  return word;
}

}  // namespace

template <typename Element>
void normalize_and_rotate(const AttentionArgs& args, int64_t text) {
  const int64_t begin = args.offsets[text], end = args.offsets[text + 1];
  for (int64_t t = begin; t < end; ++t) {
    Element* row = static_cast<Element*>(args.qkv) + t * args.qkv_stride;
    if (args.raw) {
      const int64_t width = (args.heads + args.kv_heads) * args.head_dim;
      for (int64_t d = 0; d < width; d += kWidth)
        store_upto(args.raw + t * args.raw_stride + d, load_upto(row + d, width - d), width - d);
    }
    for (int64_t h = 0; h < args.heads; ++h) prepare_head(args, row + h * args.head_dim, args.q_norm, t - begin);
    for (int64_t h = 0; h < args.kv_heads; ++h)
      prepare_head(args, row + (args.heads + h) * args.head_dim, args.k_norm, t - begin);
  }
}

void rotate_back(const AttentionArgs& args, const float* x, float scale, int64_t position, float* to) {
  const int64_t half = args.rope_cos ? args.rotary_dim / 2 : 0;
  const float* cosine = args.rope_cos + position * half;
  const float* sine = args.rope_sin + position * half;
  const Vec factor = broadcast(scale);
  for (int64_t i = 0; i < half; i += kWidth) {
    const int64_t n = half - i;
    const Vec a = load(x + i) * factor, b = load(x + half + i) * factor;
    const Vec c = load_upto(cosine + i, n), s = load_upto(sine + i, n);
    store_upto(to + i, a * c + b * s, n);
    store_upto(to + half + i, b * c - a * s, n);
  }
  for (int64_t i = 2 * half; i < args.head_dim; i += kWidth)
    store_upto(to + i, load(x + i) * factor, args.head_dim - i);
}

template <typename Dot>
void pack_panels(const ElementOf<Dot>* rows, int64_t stride, int64_t width, int64_t n, Word* panels) {
  using Element = ElementOf<Dot>;
  const int64_t words = divide_up(width, Dot::kPerWord), whole = width / Dot::kPerWord / kWidth * kWidth;
  for (int64_t first = 0; first < n; first += kWidth) {
    const int64_t panel = first / kPanel * kPanel, count = std::min<int64_t>(kWidth, n - first);
    const int64_t across = std::min<int64_t>(kPanel, round_up(n, kWidth) - panel);
    Word* to = panels + panel * words + (first - panel);
    const Element* from = rows + first * stride;
    for (int64_t k = 0; k < whole; k += kWidth) {
      IntVec square[kWidth] = {};
      for (int64_t i = 0; i < count; ++i) square[i] = load_words(reinterpret_cast<const Word*>(from + i * stride) + k);
      transpose_words(square);
      for (int64_t i = 0; i < kWidth; ++i) store_words(to + (k + i) * across, square[i]);
    }
    for (int64_t k = whole; k < words; ++k)
      for (int64_t i = 0; i < kWidth; ++i) to[k * across + i] = i < count ? word_at(from + i * stride, width, k) : 0;
  }
}

template <typename Dot>
void pack_keys(const AttentionArgs& args, int64_t begin, int64_t n, int64_t kv_head, Word* panels) {
  const auto* keys = static_cast<const ElementOf<Dot>*>(args.qkv) + begin * args.qkv_stride;
  pack_panels<Dot>(keys + (args.heads + kv_head) * args.head_dim, args.qkv_stride, args.head_dim, n, panels);
}

template <typename Dot>
void pack_values(const AttentionArgs& args, int64_t begin, int64_t n, int64_t kv_head, Word* to) {
  using Element = ElementOf<Dot>;
  const int64_t width = round_up(args.head_dim, kWidth);
  const Element* values = static_cast<const Element*>(args.qkv) + begin * args.qkv_stride +
                          (args.heads + args.kv_heads + kv_head) * args.head_dim;
  for (int64_t j = 0; j < n; j += Dot::kPerWord, to += width) {
    const Element* row = values + j * args.qkv_stride;
    for (int64_t d = 0; d < width; d += kWidth) {
      const int64_t left = args.head_dim - d;
      IntVec word = reinterpret_cast<IntVec>(load_upto(row + d, left));
      if constexpr (Dot::kPerWord == 2) {  // a bfloat16 widened to float32 is the upper half of the word
        const WordVec second =
            j + 1 < n ? reinterpret_cast<WordVec>(load_upto(row + args.qkv_stride + d, left)) : WordVec{};
        word = reinterpret_cast<IntVec>(reinterpret_cast<WordVec>(word) >> 16 | second);
      }
      store_words(to + d, word);
    }
  }
}

template void normalize_and_rotate<float>(const AttentionArgs&, int64_t);
template void normalize_and_rotate<uint16_t>(const AttentionArgs&, int64_t);
template void pack_panels<FloatDot>(const float*, int64_t, int64_t, int64_t, Word*);
template void pack_keys<FloatDot>(const AttentionArgs&, int64_t, int64_t, int64_t, Word*);
template void pack_keys<Bfloat16Dot>(const AttentionArgs&, int64_t, int64_t, int64_t, Word*);
template void pack_values<FloatDot>(const AttentionArgs&, int64_t, int64_t, int64_t, Word*);
template void pack_values<Bfloat16Dot>(const AttentionArgs&, int64_t, int64_t, int64_t, Word*);

}  // namespace embedcore::cpu::EMBEDCORE_ISA
