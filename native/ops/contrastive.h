// InfoNCE with all its variants, loss and gradients in one operation. A row i (one query and its documents) has one
// softmax over several blocks of scores:
//   Z_i = sum over blocks b, and over the keys j of b that row i sees, of exp(s_b(i, j))
//   s_b(i, j) = scale * a_b[i] . k_b[j]
//   loss_i = log Z_i - s_0(i, positive[i]),      total = sum_i weight_i loss_i
// Block 0 holds the positives: its a are the queries, its keys the documents, among them hard negatives. GTE's four
// directions are four blocks with one softmax; a symmetric loss is two calls. Vectors are taken as they are: normalise
// them first for cosines.
//
// Key j of a block is left out of row i
//   - if `own` of the block says so: kPositive leaves out the key that is row i's own (j = own_key[i]);
//   - if key_ids[j] = row_ids[i], both given and not negative: the same text or the same label;
//   - by a margin: s_b(i, j) / scale > limit_i, where limit = p + margin, or p + margin |p| if the margin is relative,
//     and p = s_0(i, positive[i]) / scale;
//   - by a guide model (GISTEmbed), in the same way with the guide's products g_b(i, j) = ga_b[i] . gk_b[j].
// The positive itself is never left out of block 0. No gradient flows through limits.
//
// Gradients are added to: with q_ij = weight_i (exp(s_b(i, j)) / Z_i - [b = 0 and j = positive[i]]),
//   da_b[i] += scale sum_j q_ij k_b[j],  dk_b[j] += scale sum_i q_ij a_b[i],  dscale[i] = sum_bj q_ij a_b[i] . k_b[j].
// Sums over keys go in order of the blocks and their keys, sums over rows in order of the rows. A backend works on a
// few rows at a time and never holds rows x keys.
#pragma once

#include "ops/backend.h"

namespace embedcore {

struct ContrastiveBlock {
  // [rows, width] and [keys, width], float32
  const float* a = nullptr;
  int64_t a_stride = 0;
  const float* k = nullptr;
  int64_t k_stride = 0;
  int64_t keys = 0;
  // Gradients; null = not wanted. They may be the same memory in several blocks, but da and dk of one call overlap only
  // where they are equal.
  float* da = nullptr;
  int64_t da_stride = 0;
  float* dk = nullptr;
  int64_t dk_stride = 0;
  const int32_t* own_key = nullptr;  // [rows] a key to leave out, -1 = none; null = none at all
  const int32_t* key_ids = nullptr;  // [keys], compared with row_ids; null = none
  // The guide's vectors, [rows, guide_width] and [keys, guide_width]; null = no guide.
  const float* guide_a = nullptr;
  const float* guide_k = nullptr;
};

constexpr int32_t kMostContrastiveBlocks = 4;

struct ContrastiveArgs {
  const ContrastiveBlock* blocks = nullptr;  // [count], in host memory
  int32_t count = 0;
  int64_t rows = 0, width = 0;
  float scale = 1;                    // 1 / temperature
  const int32_t* positive = nullptr;  // [rows] key of block 0
  const float* weights = nullptr;     // [rows]; null = weight for every row
  float weight = 1;
  const int32_t* row_ids = nullptr;  // [rows] or null

  bool has_margin = false, relative_margin = false;
  float margin = 0;  // above the positive; usually negative or 0
  int64_t guide_width = 0;
  bool relative_guide_margin = false;
  float guide_margin = 0;

  float* loss = nullptr;    // [rows] loss_i, without the weight
  float* dscale = nullptr;  // [rows]; null = not wanted
};

}  // namespace embedcore
