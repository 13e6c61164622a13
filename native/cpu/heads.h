// What the forward and the backward pass of attention have in common: the powers of the softmax, and how q, k and v are
// prepared for the products.
#pragma once

#include <type_traits>

#include "cpu/math.h"
#include "cpu/tile.h"
#include "ops/attention.h"

namespace embedcore::cpu::EMBEDCORE_ISA {

// The element type of Dot's operands in memory.
template <typename Dot>
using ElementOf = std::conditional_t<Dot::kPerWord == 1, float, uint16_t>;

// Scale of the scores, by the base of the softmax's powers: e for float32; 2 for bfloat16, which uses fast_exp2.
template <typename Dot>
constexpr float kScoreUnit = Dot::kPerWord == 1 ? 1.0f : kLog2E;
template <typename Dot>
Vec power(Vec x) {
  if constexpr (Dot::kPerWord == 1)
    return exp(x);
  else
    return fast_exp2(x);
}

// q and k of all heads of one text, in place: RMS norm over the head, then rotation of (x_i, x_{i + half}). What was
// there goes to args.raw where that is given.
template <typename Element>
void normalize_and_rotate(const AttentionArgs& args, int64_t text);

// to = the gradient before the rotation of `scale` times the gradient x of a query or key after it. x [head_dim], and
// may be read up to a vector beyond.
void rotate_back(const AttentionArgs& args, const float* x, float scale, int64_t position, float* to);

// n rows of `width` elements as panels of [words of width][kPanel rows]; the last one has only as many vectors as it
// needs. Padding is zero.
template <typename Dot>
void pack_panels(const ElementOf<Dot>* rows, int64_t stride, int64_t width, int64_t n, Word* panels);

// The same of keys begin .. begin + n of a key head.
template <typename Dot>
void pack_keys(const AttentionArgs& args, int64_t begin, int64_t n, int64_t kv_head, Word* panels);

// Their values as [words of keys][head_dim rounded up to kWidth]: a word holds one dimension of as many keys as fit in
// it.
template <typename Dot>
void pack_values(const AttentionArgs& args, int64_t begin, int64_t n, int64_t kv_head, Word* to);

}  // namespace embedcore::cpu::EMBEDCORE_ISA
