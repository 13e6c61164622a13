// The parts of attention that prepare q, k and v for the products.
#pragma once

#include <type_traits>

#include "cpu/tile.h"
#include "ops/attention.h"

namespace embedcore::cpu::EMBEDCORE_ISA {

// The element type of Dot's operands in memory.
template <typename Dot>
using ElementOf = std::conditional_t<Dot::kPerWord == 1, float, uint16_t>;

// q and k of all heads of one text, in place: RMS norm over the head, then rotation of (x_i, x_{i + half}).
template <typename Element>
void normalize_and_rotate(const AttentionArgs& args, int64_t text);

// Keys begin .. begin + n of a key head as panels of [words of head_dim][kPanel keys]; the last one has only as many
// vectors as it needs. Padding is zero.
template <typename Dot>
void pack_keys(const AttentionArgs& args, int64_t begin, int64_t n, int64_t kv_head, Word* panels);

// Their values as [words of keys][head_dim rounded up to kWidth]: a word holds one dimension of as many keys as fit in
// it.
template <typename Dot>
void pack_values(const AttentionArgs& args, int64_t begin, int64_t n, int64_t kv_head, Word* to);

}  // namespace embedcore::cpu::EMBEDCORE_ISA
