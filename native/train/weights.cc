#include "train/weights.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/mapped_file.h"
#include "model/quantised.h"
#include "model/static_table.h"
#include "ops/dropout.h"
#include "ops/fuse.h"

namespace embedcore {

namespace {

ModelConfig read_config(const std::string& directory) {
  const std::string path = directory + "/config.json";
  const auto file = MappedFile::open(path);
  return parse_model_config(Json::parse(file->text(), path, Json::Duplicates::kLastCounts));
}

std::string layer_prefix(const ModelConfig& config, size_t index) {
  std::string prefix = config.names.layer;
  prefix.replace(prefix.find("%d"), 2, std::to_string(index));
  return prefix;
}

// Rows and columns of a matrix of the model by its name, from the list of all parameters.
const Parameter& matrix_of(const ParameterList& every, const std::string& module) {
  const Parameter* found = every.find(module + ".weight");
  if (!found || found->shape.size() != 2)
    fail(Code::kInvalidOption, "the model has no matrix \"%s\" for LoRA", module.c_str());
  return *found;
}

// Kaiming's uniform distribution with a = sqrt(5), as torch.nn.Linear and PEFT have it: within 1 / sqrt(in).
std::vector<float> first_values(int64_t elements, int64_t in, uint64_t seed, uint32_t number) {
  const float bound = 1.0f / std::sqrt(static_cast<float>(in));
  std::vector<float> values(static_cast<size_t>(elements));
  for (size_t i = 0; i < values.size(); ++i) {
    const PhiloxWords words = philox({{static_cast<uint32_t>(i / 4), number, 0, 0x4c6f5241u}}, seed);
    values[i] = bound * (static_cast<float>(words.word[i % 4] >> 8) * 0x1p-23f - 1.0f);
  }
  return values;
}

// Makes room for the token's row; returns how many rows the file has.
int64_t make_room(ModelConfig& config, const std::optional<TokenRow>& row) {
  for (TableSpec& table : config.input.tables) {
    if (table.index != TableSpec::Index::kToken) continue;
    const int64_t file_rows = table.rows;
    if (row) table.rows = config.vocab = std::max(file_rows, row->id + 1);
    return file_rows;
  }
  fail(Code::kUnsupportedModel, "the model has no table of tokens");
}

}  // namespace

bool TrainedLayer::trained() const {
  return qkv.trained() || output.trained() || up.trained() || down.trained() || attention_norm.trained() ||
         mlp_norm.trained() || dq_norm || dk_norm;
}

TrainedWeights::TrainedWeights(const std::string& directory, DevicePointer device, const WeightOptions& options,
                               const KeepLoading& keep_loading)
    : directory_(directory),
      device_(std::move(device)),
      dtype_(options.dtype),
      lora_(options.lora),
      config_(options.is_static ? trained_static_config(directory) : read_config(directory)) {
  if (options.is_static) {
    read_static(keep_loading);
    return;
  }
  const auto files = WeightFiles::open(directory);
  refuse_quantised_weights(*files);
  const TensorReader reader(device_, files, directory, config_.names.prefixes, config_.input.tables.front().name,
                            keep_loading);
  const int64_t file_rows = make_room(config_, options.token_row);
  const TableSpec& tokens = *config_.input.table(TableSpec::Index::kToken);
  const bool whole = !options.trains || options.trains(tokens.name);
  // A table that begins with other rows than those of the file comes last.
  const bool renewed = whole && options.token_row && (options.token_row->fresh || tokens.rows > file_rows);
  const auto every = ParameterList::of(config_);
  auto list = std::make_shared<ParameterList>();
  for (const Parameter& parameter : every->all())
    if (!options.trains || options.trains(parameter.name))
      if (!renewed || parameter.name != tokens.name) list->add(parameter.name, parameter.shape);
  const size_t of_model = list->all().size();
  for (const LoraSpec& lora : options.lora) {
    const Parameter& matrix = matrix_of(*every, lora.module);
    list->add(lora.module + ".lora_A.weight", {lora.rank, matrix.shape[1]});
    list->add(lora.module + ".lora_B.weight", {matrix.shape[0], lora.rank});
  }
  if (renewed) list->add(tokens.name, {tokens.rows, config_.hidden});
  if (options.token_row && !whole) {
    list->add(token_row_name(tokens.name), {1, config_.hidden});
    only_token_ = options.token_row->id;
  }
  values_ = std::make_unique<Parameters>(list, device_);
  gradients_ = std::make_unique<Parameters>(list, device_);
  values_->read(reader, of_model);
  OpenStream stream(device_);
  fill_lora(stream, options);
  if (renewed || only_token_ >= 0) read_token_row(reader, file_rows, options);

  read_outside(reader);
  first_trained_layer_ = config_.layers.size();
  for (size_t i = 0; i < config_.layers.size(); ++i) {
    read_layer(reader, i, options);
    reader.release_pages();
    if (layers_[i].trained()) first_trained_layer_ = std::min(first_trained_layer_, i);
  }
  trains_embeddings_ = embedding_norm_gradients_.trained() || relative_bias_gradient_ != nullptr ||
                       std::any_of(table_gradients_.begin(), table_gradients_.end(), [](float* at) { return at; });
  if (trains_embeddings_) first_trained_layer_ = 0;
  reader.check_intact();
}

void TrainedWeights::read_static(const KeepLoading& keep_loading) {
  constexpr int64_t kRowsAtOnce = 4096;
  const auto files = WeightFiles::open(directory_);
  const StaticLayout layout = StaticLayout::of(*files, directory_);
  const TensorReader reader(device_, files, directory_, {""}, layout.table, keep_loading);
  const StaticRows rows(reader, layout);
  const auto list = ParameterList::of(config_);
  values_ = std::make_unique<Parameters>(list, device_);
  gradients_ = std::make_unique<Parameters>(list, device_);
  OpenStream stream(device_);
  std::vector<float> piece(static_cast<size_t>(std::min(kRowsAtOnce, layout.vocab) * layout.width));
  for (int64_t first = 0; first < layout.vocab; first += kRowsAtOnce) {
    if (keep_loading) keep_loading();
    const int64_t count = std::min(kRowsAtOnce, layout.vocab - first);
    rows.read(first, count, piece.data());
    check_status(device_->backend().upload(stream, values_->data() + first * layout.width, piece.data(),
                                           static_cast<size_t>(count * layout.width) * sizeof(float)),
                 stream, "an upload");
    stream.wait();
  }
  read_outside(reader);
  trains_embeddings_ = true;
  reader.check_intact();
}

void TrainedWeights::fill_lora(Stream& stream, const WeightOptions& options) {
  const auto fill = [&](const std::string& name, const std::vector<float>& values) {
    check_status(device_->backend().upload(stream, values_->at(name), values.data(), values.size() * sizeof(float)),
                 stream, "an upload");
    check_status(device_->backend().wait(stream), stream, "waiting for the device");
  };
  if (options.adapter) {
    const AdapterFile file(*options.adapter, config_);
    for (const LoraSpec& lora : options.lora) {
      const LowRankUpdate* update = file.find(lora.module);
      if (!update || update->rank != lora.rank)
        fail(Code::kInternal, "the adapter has no update of rank %lld for \"%s\"", static_cast<long long>(lora.rank),
             lora.module.c_str());
      fill(lora.module + ".lora_A.weight", file.a(*update));
      fill(lora.module + ".lora_B.weight", file.b(*update));
    }
    return file.check_intact();
  }
  uint32_t number = 0;
  for (const LoraSpec& lora : options.lora) {
    const std::string name = lora.module + ".lora_A.weight";
    const Parameter& a = *values_->list().find(name);
    fill(name, first_values(a.elements(), a.shape[1], options.seed, number++));
  }
}

void TrainedWeights::read_token_row(const TensorReader& reader, int64_t file_rows, const WeightOptions& options) {
  const TableSpec& table = *config_.input.table(TableSpec::Index::kToken);
  const int64_t width = config_.hidden, id = options.token_row->id;
  std::vector<float> rows = reader.floats(table.name, {file_rows, width});
  std::vector<float> row;
  if (options.token_row->fresh || id >= file_rows)
    row = new_token_row(rows, width, options.seed);
  else
    row.assign(rows.begin() + id * width, rows.begin() + (id + 1) * width);
  rows = with_token_row(std::move(rows), id, row);
  if (only_token_ < 0) return values_->write(table.name, rows);
  values_->write(token_row_name(table.name), row);
  token_table_ = device_->upload(rows.data(), rows.size() * sizeof(float));
}

TrainedNorm TrainedWeights::view_norm(const std::string& name, NormWeights& weights) const {
  const auto view = [&](const std::string& full, DeviceArray<float>& array) {
    float* values = values_->find(full);
    if (values) array = DeviceArray<float>(values_->block(), values, array.size());
    return gradients_->find(full);
  };
  return {.dweight = view(name + ".weight", weights.weight), .dbias = view(name + ".bias", weights.bias)};
}

TrainedLinear TrainedWeights::view_linear(const std::vector<std::string>& names, int64_t in, int64_t out,
                                          const std::vector<int64_t>& parts, const WeightOptions& options,
                                          int64_t& number) const {
  TrainedLinear linear;
  linear.in = in;
  linear.out = out;
  const auto views = [&](const char* suffix, float*& value, float*& gradient) {
    value = values_->find(names.front() + suffix);
    gradient = gradients_->find(names.front() + suffix);
    for (const std::string& name : names)
      if ((values_->find(name + suffix) != nullptr) != (value != nullptr))
        fail(Code::kInvalidOption,
             "\"%s%s\" is trained and \"%s%s\" is not: matrices that are stacked are trained together",
             (value ? names.front() : name).c_str(), suffix, (value ? name : names.front()).c_str(), suffix);
  };
  views(".weight", linear.weight, linear.dweight);
  views(".bias", linear.bias, linear.dbias);
  for (const LoraSpec& spec : options.lora) {
    int64_t first = 0;
    for (size_t i = 0; i < names.size(); first += parts[i++]) {
      if (spec.module != names[i]) continue;
      if (number == kMostLayerParts)
        fail(Code::kInvalidOption, "a layer has more than %lld matrices with LoRA",
             static_cast<long long>(kMostLayerParts));
      const std::string a = spec.module + ".lora_A.weight", b = spec.module + ".lora_B.weight";
      linear.lora.push_back({.first = first,
                             .count = parts[i],
                             .rank = spec.rank,
                             .a = values_->at(a),
                             .b = values_->at(b),
                             .da = gradients_->at(a),
                             .db = gradients_->at(b),
                             .scale = spec.scale,
                             .dropout = spec.dropout,
                             .number = number++});
    }
  }
  return linear;
}

void TrainedWeights::read_outside(const TensorReader& reader) {
  for (const TableSpec& table : config_.input.tables) {
    if (table.index == TableSpec::Index::kToken && token_table_) {
      table_gradients_.push_back(gradients_->at(token_row_name(table.name)));
      table_rows_.push_back(EmbedTable{.rows = token_table_.get()});
      continue;
    }
    float* values = values_->find(table.name);
    table_gradients_.push_back(gradients_->find(table.name));
    if (!values) tables_.push_back(reader.table(table.name, table.rows, config_.hidden));
    table_rows_.push_back(values ? EmbedTable{.rows = values}
                                 : EmbedTable{.rows = tables_.back().data(), .dtype = tables_.back().dtype()});
  }
  if (config_.embedding_norm) {
    embedding_norm_ = reader.norm(config_.names.embedding_norm, config_.hidden, config_.norm_bias);
    embedding_norm_gradients_ = view_norm(config_.names.embedding_norm, embedding_norm_);
  }
  if (config_.final_norm) {
    final_norm_ = reader.norm(config_.names.final_norm, config_.hidden, config_.norm_bias);
    final_norm_gradients_ = view_norm(config_.names.final_norm, final_norm_);
  }
  if (config_.relative_buckets > 0) {
    relative_bias_ = std::make_shared<RelativeBias>(
        reader.floats(config_.names.relative_bias, {config_.relative_buckets, config_.heads}), config_.relative_buckets,
        config_.relative_max_distance, device_);
    relative_bias_gradient_ = gradients_->find(config_.names.relative_bias);
  }
}

void TrainedWeights::read_layer(const TensorReader& reader, size_t index, const WeightOptions& options) {
  const LayerSpec& spec = config_.layers[index];
  const LayerNames& names = config_.names.in_layer;
  const std::string prefix = layer_prefix(config_, index);
  const auto full = [&](const std::vector<std::string>& list) {
    std::vector<std::string> in_model;
    for (const std::string& name : list) in_model.push_back(prefix + name);
    return in_model;
  };
  TrainedLayer layer;
  layer.weights = embedcore::read_layer(reader, dtype_, config_, index, nullptr, LinearUse::kForwardAndBackward);
  const int64_t q = spec.heads * spec.head_dim, kv = spec.kv_heads * spec.head_dim, hidden = config_.hidden;
  const int64_t up = spec.gated ? 2 * spec.intermediate : spec.intermediate;
  int64_t number = 0;
  const std::vector<int64_t> qkv = names.qkv.size() == 1 ? std::vector{spec.qkv_width()} : std::vector{q, kv, kv};
  layer.qkv = view_linear(full(names.qkv), hidden, spec.qkv_width(), qkv, options, number);
  layer.output = view_linear(full({names.output}), q, hidden, {hidden}, options, number);
  layer.up = view_linear(full(names.up), hidden, up,
                         std::vector(names.up.size(), up / static_cast<int64_t>(names.up.size())), options, number);
  layer.down = view_linear(full({names.down}), spec.intermediate, hidden, {hidden}, options, number);
  if (spec.attention_norm)
    layer.attention_norm = view_norm(prefix + names.attention_norm, layer.weights.attention_norm);
  layer.mlp_norm = view_norm(prefix + names.mlp_norm, layer.weights.mlp_norm);
  if (spec.qk_norm) {
    NormWeights head;
    head.weight = layer.weights.q_norm;
    layer.dq_norm = view_norm(prefix + names.q_norm, head).dweight;
    layer.weights.q_norm = head.weight;
    head.weight = layer.weights.k_norm;
    layer.dk_norm = view_norm(prefix + names.k_norm, head).dweight;
    layer.weights.k_norm = head.weight;
  }
  layers_.push_back(std::move(layer));

  std::shared_ptr<RopeTable> rope;
  if (spec.rope.theta > 0) {
    for (size_t j = 0; j < index && !rope; ++j)
      if (config_.layers[j].rope == spec.rope) rope = ropes_[j];
    if (!rope) rope = std::make_shared<RopeTable>(spec.rope, device_);
  }
  ropes_.push_back(std::move(rope));
}

size_t TrainedWeights::packed_bytes() const {
  const TableSpec& tokens = *config_.input.table(TableSpec::Index::kToken);
  size_t bytes = token_table_ ? static_cast<size_t>(tokens.rows * config_.hidden) * sizeof(float) : 0;
  for (const TrainedLayer& layer : layers_) bytes += layer.weights.bytes();
  return bytes;
}

float TrainedWeights::lora_scale(const std::string& module) const {
  for (const LoraSpec& spec : lora_)
    if (spec.module == module) return spec.scale;
  return 0;
}

void TrainedWeights::follow_relative_bias(Stream& stream) {
  std::vector<float> table(static_cast<size_t>(config_.relative_buckets * config_.heads));
  check_status(device_->backend().download(stream, table.data(), values_->at(config_.names.relative_bias),
                                           table.size() * sizeof(float)),
               stream, "a download");
  check_status(device_->backend().wait(stream), stream, "waiting for the device");
  relative_bias_ = std::make_shared<RelativeBias>(std::move(table), config_.relative_buckets,
                                                  config_.relative_max_distance, device_);
}

void TrainedWeights::follow_values(Stream& stream) {
  for (TrainedLayer& layer : layers_) {
    const auto repack = [&](Linear& packed, const TrainedLinear& linear) {
      if (linear.weight || linear.bias) packed.repack(device_->backend(), stream, linear.weight, linear.bias);
    };
    repack(layer.weights.qkv, layer.qkv);
    repack(layer.weights.output, layer.output);
    repack(layer.weights.up, layer.up);
    repack(layer.weights.down, layer.down);
  }
  if (relative_bias_gradient_) follow_relative_bias(stream);
  if (!token_table_) return;
  const float* row = values_->at(token_row_name(config_.input.table(TableSpec::Index::kToken)->name));
  check_status(
      device_->backend().fuse(stream, {.x = row,
                                       .x_stride = config_.hidden,
                                       .y = static_cast<float*>(token_table_.get()) + only_token_ * config_.hidden,
                                       .y_stride = config_.hidden,
                                       .rows = 1,
                                       .width = config_.hidden,
                                       .first = true}),
      stream, "fuse");
}

}  // namespace embedcore
