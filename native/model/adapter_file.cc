#include "model/adapter_file.h"

#include <algorithm>
#include <unordered_set>

#include "base/error.h"
#include "model/weights.h"

namespace embedcore {

void add_low_rank(std::vector<float>& weight, const std::vector<float>& a, const std::vector<float>& b, int64_t rank,
                  double scale) {
  const auto in = static_cast<int64_t>(a.size()) / rank, out = static_cast<int64_t>(b.size()) / rank;
  std::vector<double> row(static_cast<size_t>(in));
  for (int64_t o = 0; o < out; ++o) {
    std::fill(row.begin(), row.end(), 0.0);
    for (int64_t r = 0; r < rank; ++r) {
      const double factor = static_cast<double>(b[static_cast<size_t>(o * rank + r)]) * scale;
      for (int64_t k = 0; k < in; ++k)
        row[static_cast<size_t>(k)] += factor * static_cast<double>(a[static_cast<size_t>(r * in + k)]);
    }
    for (int64_t k = 0; k < in; ++k) {
      float& one = weight[static_cast<size_t>(o * in + k)];
      one = static_cast<float>(static_cast<double>(one) + row[static_cast<size_t>(k)]);
    }
  }
}

std::vector<LayerMatrix> layer_matrices(const ModelConfig& config, size_t layer) {
  const LayerSpec& spec = config.layers[layer];
  const LayerNames& names = config.names.in_layer;
  std::string prefix = config.names.layer;
  prefix.replace(prefix.find("%d"), 2, std::to_string(layer));
  const int64_t q = spec.heads * spec.head_dim, kv = spec.kv_heads * spec.head_dim;
  const int64_t up = spec.gated ? 2 * spec.intermediate : spec.intermediate;
  std::vector<LayerMatrix> matrices;
  const auto add = [&](const std::vector<std::string>& stacked, std::vector<LoraPart> LayerAdapter::*parts,
                       const std::vector<int64_t>& outs, int64_t in) {
    int64_t first = 0;
    for (size_t i = 0; i < stacked.size(); first += outs[i++])
      matrices.push_back({prefix + stacked[i], parts, first, outs[i], in});
  };
  add(names.qkv, &LayerAdapter::qkv,
      names.qkv.size() == 1 ? std::vector{spec.qkv_width()} : std::vector<int64_t>{q, kv, kv}, config.hidden);
  add({names.output}, &LayerAdapter::output, {config.hidden}, q);
  add(names.up, &LayerAdapter::up, std::vector(names.up.size(), up / static_cast<int64_t>(names.up.size())),
      config.hidden);
  add({names.down}, &LayerAdapter::down, {config.hidden}, spec.intermediate);
  return matrices;
}

AdapterFile::AdapterFile(const AdapterSource& source, const ModelConfig& config)
    : source_(source), file_(SafeTensors::open(source.directory + "/adapter_model.safetensors")) {
  std::unordered_set<std::string> seen;
  for (size_t i = 0; i < config.layers.size(); ++i) {
    for (const LayerMatrix& matrix : layer_matrices(config, i)) {
      const LowRankUpdate* update = find(matrix.module);
      if (!update) continue;
      check(*update, matrix);
      seen.insert(matrix.module);
    }
  }
  for (const LowRankUpdate& update : source_.updates)
    if (!seen.contains(update.module))
      fail(Code::kMissingTensor, "%s updates \"%s\", which is not a matrix of the model's layers",
           file_->path().c_str(), update.module.c_str());
}

const LowRankUpdate* AdapterFile::find(const std::string& module) const {
  const auto found = std::find_if(source_.updates.begin(), source_.updates.end(),
                                  [&](const LowRankUpdate& update) { return update.module == module; });
  return found == source_.updates.end() ? nullptr : &*found;
}

void AdapterFile::check(const LowRankUpdate& update, const LayerMatrix& matrix) const {
  const auto check_one = [&](const std::string& name, int64_t rows, int64_t columns) {
    const TensorView* view = file_->find(name);
    if (!view) fail(Code::kMissingTensor, "%s: tensor \"%s\" is missing", file_->path().c_str(), name.c_str());
    if (!is_float_kind(view->dtype))
      fail(Code::kShapeMismatch, "Expected float32, float16 or bfloat16 for tensor \"%s\" but found %s", name.c_str(),
           dtype_name(view->dtype));
    if (view->shape != std::vector{rows, columns})
      fail(Code::kShapeMismatch, "tensor \"%s\" has shape %s; \"%s\" of the model and rank %lld require [%lld, %lld]",
           name.c_str(), shape_string(view->shape).c_str(), update.module.c_str(), static_cast<long long>(update.rank),
           static_cast<long long>(rows), static_cast<long long>(columns));
    check_finite(*view);
  };
  check_one(update.a, update.rank, matrix.in);
  check_one(update.b, matrix.out, update.rank);
}

std::vector<float> AdapterFile::floats(const std::string& name) const {
  const TensorView& view = *file_->find(name);
  std::vector<float> values(static_cast<size_t>(view.elements()));
  to_float32(view.data, view.dtype, values.data(), values.size());
  return values;
}

void AdapterFile::check_intact() const {
  if (!file_->mapping()->intact())
    fail(Code::kInvalidFile, "%s was cut short while it was read", file_->path().c_str());
}

}  // namespace embedcore
