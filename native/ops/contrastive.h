// InfoNCE with all its variants, loss and gradients in one operation. A row i (one query) has one softmax over several
// blocks of scores:
//   s_b(i, j) = scale * c + h * stop_gradient(c), c = a_b[i] . k_b[j]
//   Z_i = sum over blocks b, and over the keys j of b that row i sees, of exp(s_b(i, j))
//   loss_i = log Z_i - s_0(i, positive[i]),      total = sum_i weight_i loss_i
// Block 0 holds the positives: its a are the queries, its keys the documents, hard negatives included. GTE's four
// directions are four blocks with one softmax; a symmetric loss is two calls of weight 1/2. Vectors are taken as they
// are: normalise them first for cosines.
//
// The hardness h is own_hardness for row i's own keys, other_hardness for other keys, and 0 for the positive
// (sentence-transformers' hardness_mode: hard_negatives sets the first, in_batch_negatives the second, all_negatives
// both, all in block 0).
//
// Key j of block b is left out of row i
//   - by a mask: rows[i] = keys[j] >= 0 (the row's own sample, the same text, the same label);
//   - by the margin: c > limit, where limit = p - margin, or p - margin |p| if the margin is relative, and
//     p = a_0[i] . k_0[positive[i]];
//   - by a guide model (GISTEmbed): the same with the products and the margin of the guide's vectors.
// The positive itself is never left out of block 0. No gradient flows through limits.
//
// Gradients are added to: with q_b(i, j) = weight_i (exp(s_b(i, j)) / Z_i - [b = 0 and j = positive[i]]),
//   da_b[i] += scale sum_j q_b(i, j) k_b[j],  dk_b[j] += scale sum_i q_b(i, j) a_b[i],
//   dscale[i] = sum_bj q_b(i, j) a_b[i] . k_b[j].
// A row's results depend on the row and the keys alone. da sums over the blocks and their keys in order; dk adds row
// after row, and a row's blocks in order, to what is there. So the rows of a call may be cut anywhere into several
// calls, which give the same bits (the reference rounds its sums once a call). A backend works on a few rows at a time
// and never holds rows x keys.
#pragma once

#include "ops/backend.h"

namespace embedcore {

// Pairs a row with the keys of an equal number that is not negative. Both null: no such pairs.
struct KeyMatch {
  const int32_t* rows = nullptr;  // [rows]
  const int32_t* keys = nullptr;  // [keys]
};

constexpr int32_t kMostKeyMasks = 4;

struct ContrastiveBlock {
  // [rows, width] and [keys, width]
  const float* a = nullptr;
  int64_t a_stride = 0;
  const float* k = nullptr;
  int64_t k_stride = 0;
  int64_t keys = 0;
  // Gradients; null = not wanted. Blocks may share da, or all of dk (of as many keys); other gradients do not overlap.
  float* da = nullptr;
  int64_t da_stride = 0;
  float* dk = nullptr;
  int64_t dk_stride = 0;
  KeyMatch masks[kMostKeyMasks];
  KeyMatch own;                                // needed where the two differ
  float own_hardness = 0, other_hardness = 0;  // at least 0
  // The guide's vectors, [rows, guide_width] and [keys, guide_width]; null = no guide. A block has one only if block 0
  // has.
  const float* guide_a = nullptr;
  int64_t guide_a_stride = 0;
  const float* guide_k = nullptr;
  int64_t guide_k_stride = 0;
};

constexpr int32_t kMostContrastiveBlocks = 4;

struct ContrastiveArgs {
  const ContrastiveBlock* blocks = nullptr;  // [count], in host memory
  int32_t count = 0;                         // 1 to kMostContrastiveBlocks
  int64_t rows = 0, width = 0;
  float scale = 1;                    // 1 / temperature, above 0
  const int32_t* positive = nullptr;  // [rows] key of block 0, checked by the caller to be one
  const float* weights = nullptr;     // [rows]; null = weight for every row
  float weight = 1;

  bool has_margin = false, relative_margin = false;
  float margin = 0;
  int64_t guide_width = 0;
  bool relative_guide_margin = false;
  float guide_margin = 0;

  float* loss = nullptr;    // [rows] loss_i, without the weight
  float* dscale = nullptr;  // [rows]; null = not wanted
};

}  // namespace embedcore
