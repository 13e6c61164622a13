// embed: y[t] = tables[0].rows[ids[t]] + tables[1].rows[ids[t]] + ..., summed in the order of the list, each by its own
//        ids. Words, positions and token types are three tables; so are the item, category and time of an event.
// bag:   y[i] = mean over the tokens t of text i of table[rows[t]] * scales[rows[t]] * weights[ids[t]]
//        (no tokens: zeros)
// Ids and rows were checked by the caller to be inside the tables.
#pragma once

#include "base/dtype.h"
#include "ops/backend.h"

namespace embedcore {

struct EmbedTable {
  const void* rows = nullptr;    // [any, width], dense
  DType dtype = DType::kF32;     // float32, float16 or bfloat16
  const int32_t* ids = nullptr;  // [tokens]; null = row 0 for every token
};

constexpr int32_t kMostEmbedTables = 8;

struct EmbedArgs {
  const EmbedTable* tables = nullptr;  // [count], in host memory
  int32_t count = 0;                   // 1 to kMostEmbedTables
  int64_t tokens = 0, width = 0;
  float* y = nullptr;
  int64_t y_stride = 0;
};

// The table stays in its file's dtype: float32, float16, bfloat16, or int8 with one float32 scale per row.
struct BagArgs {
  const int32_t* rows = nullptr;     // [tokens] rows of the table
  const int32_t* ids = nullptr;      // [tokens] indices into weights; usually the same
  const int32_t* offsets = nullptr;  // [texts + 1]; null = text i is token i
  int64_t texts = 0, width = 0;
  const void* table = nullptr;
  DType dtype = DType::kF32;
  const float* scales = nullptr;   // a factor for each row, or null
  const float* weights = nullptr;  // a factor for each id (model2vec's `weights`), or null
  float* y = nullptr;
  int64_t y_stride = 0;
};

// The gradient of a table: dtable[rows[i]] += sum of dy[tokens[t]] over t = starts[i] .. starts[i + 1) - 1, in order,
// beginning with the value that is there. rows are distinct; the tokens of a row ascend. Rows that are not named, and
// those without tokens, stay as they are.
struct EmbedGradientArgs {
  const int32_t* rows = nullptr;    // [distinct]
  const int32_t* starts = nullptr;  // [distinct + 1]
  const int32_t* tokens = nullptr;  // [starts[distinct]]
  int64_t distinct = 0, width = 0;
  const float* dy = nullptr;
  int64_t dy_stride = 0;
  float* dtable = nullptr;  // [any, width], dense
};

}  // namespace embedcore
