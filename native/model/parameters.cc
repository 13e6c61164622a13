#include "model/parameters.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <span>

#include "ops/fuse.h"
#include "ops/optimizer.h"

namespace embedcore {

int64_t Parameter::elements() const {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

void ParameterList::add(std::string name, std::vector<int64_t> shape) {
  parameters_.push_back({.name = std::move(name), .shape = std::move(shape), .offset = elements_});
  elements_ += parameters_.back().elements();
}

void ParameterList::add_norm(const std::string& name, int64_t width, bool bias) {
  add(name + ".weight", {width});
  if (bias) add(name + ".bias", {width});
}

void ParameterList::add_linear(const std::string& name, int64_t in, int64_t out, bool bias) {
  add(name + ".weight", {out, in});
  if (bias) add(name + ".bias", {out});
}

template <typename Rows>
void ParameterList::add_stacked(const std::string& prefix, const std::vector<std::string>& names, int64_t in,
                                Rows&& rows, bool bias) {
  for (size_t i = 0; i < names.size(); ++i) add(prefix + names[i] + ".weight", {rows(i), in});
  for (size_t i = 0; i < names.size() && bias; ++i) add(prefix + names[i] + ".bias", {rows(i)});
}

void ParameterList::add_layer(const ModelConfig& config, size_t index) {
  const LayerSpec& spec = config.layers[index];
  const LayerNames& names = config.names.in_layer;
  std::string prefix = config.names.layer;
  prefix.replace(prefix.find("%d"), 2, std::to_string(index));
  const int64_t hidden = config.hidden, q = spec.heads * spec.head_dim, kv = spec.kv_heads * spec.head_dim;

  if (spec.attention_norm) add_norm(prefix + names.attention_norm, hidden, spec.norm_bias);
  const int64_t qkv[] = {q, kv, kv};
  add_stacked(
      prefix, names.qkv, hidden, [&](size_t i) { return names.qkv.size() == 1 ? spec.qkv_width() : qkv[i]; },
      spec.qkv_bias);
  if (spec.qk_norm) {
    add(prefix + names.q_norm + ".weight", {spec.head_dim});
    add(prefix + names.k_norm + ".weight", {spec.head_dim});
  }
  add_linear(prefix + names.output, q, hidden, spec.output_bias);
  add_norm(prefix + names.mlp_norm, hidden, spec.norm_bias);
  const int64_t up = spec.gated ? 2 * spec.intermediate : spec.intermediate;
  add_stacked(
      prefix, names.up, hidden, [&](size_t) { return up / static_cast<int64_t>(names.up.size()); }, spec.mlp_bias);
  add_linear(prefix + names.down, spec.intermediate, hidden, spec.mlp_bias);
}

std::shared_ptr<const ParameterList> ParameterList::of(const ModelConfig& config) {
  auto list = std::make_shared<ParameterList>();
  for (const TableSpec& table : config.input.tables) list->add(table.name, {table.rows, config.hidden});
  if (config.embedding_norm) list->add_norm(config.names.embedding_norm, config.hidden, config.norm_bias);
  if (config.relative_buckets > 0) list->add(config.names.relative_bias, {config.relative_buckets, config.heads});
  for (size_t i = 0; i < config.layers.size(); ++i) list->add_layer(config, i);
  if (config.final_norm) list->add_norm(config.names.final_norm, config.hidden, config.norm_bias);
  return list;
}

const Parameter* ParameterList::find(std::string_view name) const {
  const auto found = std::find_if(parameters_.begin(), parameters_.end(),
                                  [&](const Parameter& parameter) { return parameter.name == name; });
  return found == parameters_.end() ? nullptr : &*found;
}

Parameters::Parameters(std::shared_ptr<const ParameterList> list, DevicePointer device)
    : list_(std::move(list)), device_(std::move(device)) {
  // A host's axpby leaves fresh pages of zeros as they are.
  block_ = device_->allocate(static_cast<size_t>(list_->elements()) * sizeof(float));
  OpenStream stream(device_);
  check_status(device_->backend().axpby(stream, {.y = data(), .elements = list_->elements(), .beta = 0}), stream,
               "axpby");
  stream.wait();
}

float* Parameters::at(std::string_view name) const {
  const Parameter* parameter = list_->find(name);
  if (!parameter) fail(Code::kMissingTensor, "the model has no parameter %s", quote(name).c_str());
  return data() + parameter->offset;
}

float* Parameters::find(std::string_view name) const {
  const Parameter* parameter = list_->find(name);
  return parameter ? data() + parameter->offset : nullptr;
}

void Parameters::write(std::string_view name, const std::vector<float>& values) {
  OpenStream stream(device_);
  check_status(device_->backend().upload(stream, at(name), values.data(), values.size() * sizeof(float)), stream,
               "an upload");
  stream.wait();
}

void Parameters::read(const TensorReader& reader, size_t count) {
  OpenStream stream(device_);
  for (const Parameter& parameter : std::span(list_->all()).first(count)) {
    const std::vector<float> values = reader.floats(parameter.name, parameter.shape);
    check_status(
        device_->backend().upload(stream, data() + parameter.offset, values.data(), values.size() * sizeof(float)),
        stream, "an upload");
    stream.wait();
  }
}

void copy_floats(const Backend& backend, Stream& stream, const float* x, float* y, int64_t elements) {
  constexpr int64_t kWidth = 1024;
  const int64_t whole = elements / kWidth * kWidth;
  const auto rows = [&](int64_t first, int64_t count, int64_t width) {
    if (count == 0 || width == 0) return;
    check_status(backend.fuse(stream, {.x = x + first,
                                       .x_stride = width,
                                       .y = y + first,
                                       .y_stride = width,
                                       .rows = count,
                                       .width = width,
                                       .first = true}),
                 stream, "fuse");
  };
  rows(0, whole / kWidth, kWidth);
  rows(whole, 1, elements - whole);
}

}  // namespace embedcore
