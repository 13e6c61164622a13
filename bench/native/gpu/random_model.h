// Writes a model's directory with random weights: config.json and model.safetensors in bfloat16. Speed depends on the
// shape alone.
#pragma once

#include <string>

#include "shapes.h"

namespace embedcore::gpu_bench {

// A new directory in `folder`, which is removed with all that is in it when this object is destroyed.
class RandomModel {
 public:
  // Throws Error if it cannot be written.
  RandomModel(const std::string& folder, const ModelShape& shape);
  ~RandomModel();
  RandomModel(const RandomModel&) = delete;

  const std::string& directory() const { return directory_; }

 private:
  std::string directory_;
};

}  // namespace embedcore::gpu_bench
