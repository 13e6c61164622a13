// embed: y[t] = word[ids[t]] (+ position[positions[t]]) (+ type)       word [vocab, width], position [positions,
// width], type [width] bag:   y[i] = mean over the tokens t of text i of table[rows[t]] * scales[rows[t]] *
// weights[ids[t]]   (no tokens: zeros) Ids, rows and positions were checked by the caller to lie inside the tables.
#pragma once

#include "base/dtype.h"
#include "ops/backend.h"

namespace embedcore {

struct EmbedArgs {
  const int32_t* ids;
  const int32_t* positions;
  int64_t tokens, width;
  const float* word;
  const float* position;  // null = none
  const float* type;      // null = none
  float* y;
  int64_t y_stride;
};

// The table stays in its file's dtype: float32, float16, bfloat16, or int8 with one float32 scale a row.
struct BagArgs {
  const int32_t* rows;     // [tokens] rows of the table
  const int32_t* ids;      // [tokens] what weights is indexed by; usually the same
  const int32_t* offsets;  // [texts + 1]
  int64_t texts, width;
  const void* table;
  DType dtype;
  const float* scales;   // a factor a row, or null
  const float* weights;  // a factor an id (model2vec's `weights`), or null
  float* y;
  int64_t y_stride;
};

}  // namespace embedcore
