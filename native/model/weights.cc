#include "model/weights.h"

#include <cmath>

#include "base/error.h"

namespace embedcore {

namespace {

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

void check_shape(const TensorView& view, const std::vector<int64_t>& expected) {
  if (view.shape == expected) return;
  fail(Code::kShapeMismatch, "tensor \"%s\" has shape %s; config.json asks for %s", view.name.c_str(),
       shape_text(view.shape).c_str(), shape_text(expected).c_str());
}

}  // namespace

void check_finite(std::span<const float> values, const std::string& name) {
  // x - x is 0 for a finite x and NaN for the others; the sum tells without a branch a value.
  float sum = 0.0f;
  for (const float value : values) sum += value - value;
  if (sum == 0.0f) return;
  for (size_t i = 0; i < values.size(); ++i)
    if (!std::isfinite(values[i]))
      fail(Code::kNonFinite, "tensor \"%s\" holds %g at element %zu", name.c_str(), static_cast<double>(values[i]), i);
}

Linear::Linear(const Backend& backend, const LinearWeights& weights) {
  if (weights.dtype == DType::kI8 && weights.in > kMostInt8Inputs)
    fail(Code::kUnsupportedModel, "a matrix of %lld inputs cannot be summed in int8 (at most %lld): use bfloat16",
         static_cast<long long>(weights.in), static_cast<long long>(kMostInt8Inputs));
  PackedLinear* packed = backend.pack_linear(weights);
  if (!packed)
    fail(Code::kOutOfMemory, "no memory for a packed matrix of %lld by %lld", static_cast<long long>(weights.out),
         static_cast<long long>(weights.in));
  packed_ = std::shared_ptr<PackedLinear>(packed, backend.free_linear);
}

TensorReader::TensorReader(std::shared_ptr<const WeightFiles> files, std::string directory,
                           const std::vector<std::string>& prefixes, const std::string& probe)
    : files_(std::move(files)), directory_(std::move(directory)) {
  for (const std::string& prefix : prefixes) {
    if (files_->find(prefix + probe)) {
      prefix_ = prefix;
      return;
    }
  }
  fail(Code::kMissingTensor, "%s: tensor \"%s\" is missing", directory_.c_str(), probe.c_str());
}

const TensorView* TensorReader::find_optional(const std::string& name) const { return files_->find(prefix_ + name); }

const TensorView& TensorReader::find(const std::string& name) const {
  if (const TensorView* view = find_optional(name)) return *view;
  // Files from before 2019 say gamma and beta.
  auto legacy = [&](const char* now, const char* then) -> const TensorView* {
    const std::string suffix = std::string("LayerNorm.") + now;
    if (!name.ends_with(suffix)) return nullptr;
    return find_optional(name.substr(0, name.size() - suffix.size()) + "LayerNorm." + then);
  };
  if (const TensorView* view = legacy("weight", "gamma")) return *view;
  if (const TensorView* view = legacy("bias", "beta")) return *view;
  fail(Code::kMissingTensor, "%s: tensor \"%s%s\" is missing", directory_.c_str(), prefix_.c_str(), name.c_str());
}

void TensorReader::append(const TensorView& view, std::vector<float>& to) const {
  if (!is_float_kind(view.dtype))
    fail(Code::kShapeMismatch, "tensor \"%s\" is %s; expected float32, float16 or bfloat16", view.name.c_str(),
         dtype_name(view.dtype));
  const auto count = static_cast<size_t>(view.elements());
  const size_t start = to.size();
  to.resize(start + count);
  to_float32(view.data, view.dtype, to.data() + start, count);
  check_finite({to.data() + start, count}, view.name);
}

std::vector<float> TensorReader::vector(const std::string& name, int64_t size) const {
  const TensorView& view = find(name);
  check_shape(view, {size});
  std::vector<float> values;
  append(view, values);
  return values;
}

Table TensorReader::table(const std::string& name, int64_t rows, int64_t columns) const {
  const TensorView& view = find(name);
  check_shape(view, {rows, columns});
  Table table;
  if (view.dtype == DType::kF32 && reinterpret_cast<uintptr_t>(view.data) % alignof(float) == 0) {
    table.data_ = reinterpret_cast<const float*>(view.data);
    check_finite({table.data_, static_cast<size_t>(rows * columns)}, view.name);
  } else {
    append(view, table.copy_);
    table.data_ = table.copy_.data();
  }
  return table;
}

NormWeights TensorReader::norm(const std::string& name, int64_t size, bool bias) const {
  NormWeights norm;
  norm.weight = vector(name + ".weight", size);
  if (bias) norm.bias = vector(name + ".bias", size);
  return norm;
}

Linear TensorReader::linear(const Backend& backend, DType dtype, const std::vector<std::string>& names, int64_t in,
                            int64_t out, bool bias, const InputSizes* inputs) const {
  std::vector<float> weight, biases;
  int64_t rows = 0;
  for (const std::string& name : names) {
    const TensorView& view = find(name + ".weight");
    if (view.shape.size() != 2 || view.shape[1] != in || view.shape[0] > out - rows)
      fail(Code::kShapeMismatch, "tensor \"%s\" has shape %s; config.json asks for [%lld, %lld]%s", view.name.c_str(),
           shape_text(view.shape).c_str(), static_cast<long long>(out), static_cast<long long>(in),
           names.size() > 1 ? " together with its neighbours" : "");
    append(view, weight);
    if (bias) {
      const std::vector<float> part = vector(name + ".bias", view.shape[0]);
      biases.insert(biases.end(), part.begin(), part.end());
    }
    rows += view.shape[0];
  }
  if (rows != out)
    fail(Code::kShapeMismatch, "%s: \"%s.weight\" and its neighbours have %lld rows; config.json asks for %lld",
         directory_.c_str(), names.front().c_str(), static_cast<long long>(rows), static_cast<long long>(out));
  std::vector<float> divisors;
  if (inputs) divisors = smoothing(*inputs, weight);
  return Linear(backend,
                {weight.data(), bias ? biases.data() : nullptr, in, out, dtype, inputs ? divisors.data() : nullptr});
}

LayerWeights read_layer(const TensorReader& reader, const Backend& backend, DType dtype, const ModelConfig& config,
                        size_t index, const LayerInputSizes* inputs) {
  const LayerSpec& spec = config.layers[index];
  const LayerNames& names = config.names.in_layer;
  std::string prefix = config.names.layer;
  prefix.replace(prefix.find("%d"), 2, std::to_string(index));
  auto in_layer = [&](const std::vector<std::string>& list) {
    std::vector<std::string> full;
    for (const std::string& name : list) full.push_back(prefix + name);
    return full;
  };

  LayerWeights weights;
  weights.qkv = reader.linear(backend, dtype, in_layer(names.qkv), config.hidden, spec.qkv_width(), spec.qkv_bias,
                              inputs ? &inputs->qkv : nullptr);
  weights.output = reader.linear(backend, dtype, in_layer({names.output}), spec.heads * spec.head_dim, config.hidden,
                                 spec.output_bias);
  weights.up = reader.linear(backend, dtype, in_layer(names.up), config.hidden,
                             spec.gated ? 2 * spec.intermediate : spec.intermediate, spec.mlp_bias,
                             inputs ? &inputs->up : nullptr);
  weights.down = reader.linear(backend, dtype, in_layer({names.down}), spec.intermediate, config.hidden, spec.mlp_bias);
  if (spec.attention_norm)
    weights.attention_norm = reader.norm(prefix + names.attention_norm, config.hidden, spec.norm_bias);
  weights.mlp_norm = reader.norm(prefix + names.mlp_norm, config.hidden, spec.norm_bias);
  if (spec.qk_norm) {
    weights.q_norm = reader.vector(prefix + names.q_norm + ".weight", spec.head_dim);
    weights.k_norm = reader.vector(prefix + names.k_norm + ".weight", spec.head_dim);
  }
  return weights;
}

}  // namespace embedcore
