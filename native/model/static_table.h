// The table of a static model in its files: "embedding.weight" or "embeddings" [rows, width] in float32, float16,
// bfloat16, float64 or int8, with "scales" [rows], "mapping" [vocab] from token ids to rows, and "weights" [vocab].
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/config.h"
#include "model/weights.h"

namespace embedcore {

// What the headers and the mapping say.
struct StaticLayout {
  std::string table;  // its name
  int64_t rows = 0, width = 0, vocab = 0;
  std::vector<int32_t> mapping;  // token id -> row; empty = the same
  bool scales = false, weights = false;

  // Throws Error for a table that is absent or has another shape or dtype, and for a mapping out of the table.
  static StaticLayout of(const WeightFiles& files, const std::string& directory);
};

// The configuration of a static model in training: one table "embedding.weight" [vocab, width] and no layers. Throws
// Error, also for int8 rows without scales, whose size is not known.
ModelConfig trained_static_config(const std::string& directory);

// The rows that tokens have, in float32: table[mapping[id]] * scales[mapping[id]] * weights[id].
class StaticRows {
 public:
  // Throws Error for values that are not finite.
  StaticRows(const TensorReader& reader, const StaticLayout& layout);
  // to [count, width]: the rows of the tokens from `first` on.
  void read(int64_t first, int64_t count, float* to) const;

 private:
  const StaticLayout& layout_;
  const TensorView& table_;
  std::vector<float> scales_, weights_;
};

}  // namespace embedcore
