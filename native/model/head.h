// The modules behind the pooling: dense, layer norm, normalise. Always float32: a row a text is little work.
#pragma once

#include <string>
#include <vector>

#include "model/weights.h"

namespace embedcore {

struct HeadModule {
  enum class Kind { kDense, kLayerNorm, kNormalize } kind = Kind::kNormalize;
  std::string directory;  // dense, layer norm: where model.safetensors lies
  int64_t in = 0, out = 0;
  bool bias = true, residual = false;
  Activation activation = Activation::kTanh;
};

class Head {
 public:
  Head() = default;
  Head(const std::vector<HeadModule>& modules, const Backend& backend);

  bool normalizes() const;
  // Width that comes out for `width` that goes in. Throws Error when a module does not fit.
  int64_t out_width(int64_t width) const;
  int64_t widest(int64_t width) const;
  // In place on rows of [texts, stride], stride >= widest; spare is as large.
  void apply(Stream& stream, float* rows, float* spare, int64_t texts, int64_t width, int64_t stride,
             bool normalize) const;

 private:
  struct Loaded {
    HeadModule module;
    Linear linear, residual;
    NormWeights norm;
  };
  const Backend* backend_ = nullptr;
  std::vector<Loaded> modules_;
};

}  // namespace embedcore
