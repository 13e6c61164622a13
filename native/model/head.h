// The modules after the pooling: dense, layer norm, normalise. They are always float32, because one row per text is
// little work.
#pragma once

#include <string>
#include <vector>

#include "model/weights.h"
#include "model/workspace.h"

namespace embedcore {

struct HeadModule {
  enum class Kind { kDense, kLayerNorm, kNormalize } kind = Kind::kNormalize;
  std::string directory;  // dense, layer norm: where model.safetensors is
  int64_t in = 0, out = 0;
  bool bias = true, residual = false;
  Activation activation = Activation::kTanh;
  bool operator==(const HeadModule&) const = default;
};

class Head {
 public:
  Head() = default;
  Head(const std::vector<HeadModule>& modules, DevicePointer device, const KeepLoading& keep_loading);

  bool normalizes() const;
  // Width of the resulting rows for rows of `width`. Throws Error if a module does not fit.
  int64_t out_width(int64_t width) const;
  // Width of the widest intermediate row.
  int64_t widest(int64_t width) const;
  // rows [texts, width]; buffers [texts, widest(width)] each, one of which may be rows. Returns the view that holds the
  // result: rows themselves, changed in place, or a buffer.
  View apply(Stream& stream, View rows, const View (&buffers)[2], int64_t texts, int64_t width, bool normalize) const;

 private:
  struct Loaded {
    HeadModule module;
    Linear linear, residual;
    NormWeights norm;
  };
  void run_linear(Stream& stream, const Linear& linear, const View& x, const View& y, int64_t texts,
                  Activation activation, const View& residual) const;

  DevicePointer device_;
  std::vector<Loaded> modules_;
};

}  // namespace embedcore
