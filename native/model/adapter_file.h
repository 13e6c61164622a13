// The low-rank updates (LoRA) in a file of PEFT, and the matrices of a model that they belong to.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/safetensors.h"
#include "model/adapter.h"
#include "model/config.h"

namespace embedcore {

// W += scale * B A of one matrix. `a` and `b` name tensors of the file: [rank, in] and [out, rank].
struct LowRankUpdate {
  std::string module;  // "encoder.layer.0.attention.self.query"
  std::string a, b;
  int64_t rank = 0;
  float scale = 0;  // alpha / rank, or alpha / sqrt(rank)
  bool operator==(const LowRankUpdate&) const = default;
};

struct AdapterSource {
  std::string directory;  // of adapter_model.safetensors
  std::vector<LowRankUpdate> updates;
  bool operator==(const AdapterSource&) const = default;
};

// Adds scale * B A to a matrix [out, in]: products and their sums are float64, the result is rounded once.
void add_low_rank(std::vector<float>& weight, const std::vector<float>& a, const std::vector<float>& b, int64_t rank,
                  double scale);

// One matrix of a layer to which an update can be added.
struct LayerMatrix {
  std::string module;
  std::vector<LoraPart> LayerAdapter::*parts;
  int64_t first = 0, out = 0, in = 0;  // its outputs among those of the stacked matrix
};
std::vector<LayerMatrix> layer_matrices(const ModelConfig& config, size_t layer);

// The file, mapped, with updates whose shapes and values were checked against the model. Throws Error.
class AdapterFile {
 public:
  AdapterFile(const AdapterSource& source, const ModelConfig& config);

  // Null if the matrix has none.
  const LowRankUpdate* find(const std::string& module) const;
  std::vector<float> a(const LowRankUpdate& update) const { return floats(update.a); }
  std::vector<float> b(const LowRankUpdate& update) const { return floats(update.b); }
  // Throws if the file was cut short while it was read.
  void check_intact() const;

 private:
  void check(const LowRankUpdate& update, const LayerMatrix& matrix) const;
  std::vector<float> floats(const std::string& name) const;

  const AdapterSource source_;
  std::shared_ptr<const SafeTensors> file_;
};

}  // namespace embedcore
