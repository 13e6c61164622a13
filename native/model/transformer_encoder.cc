#include "model/transformer_encoder.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/mapped_file.h"
#include "model/embedding.h"
#include "model/forward_plan.h"
#include "model/positions.h"
#include "model/quantised.h"
#include "ops/fuse.h"

namespace embedcore {

namespace {

// Before anything is read.
void refuse_unsupported(const OpenDevice& device, DType dtype) {
  if (device.supports(dtype)) return;
  std::string names;
  for (const DType one : {DType::kF32, DType::kF16, DType::kBF16, DType::kI8})
    if (device.supports(one)) names += (names.empty() ? "'" : ", '") + std::string(dtype_name(one)) + "'";
  fail(Code::kInvalidOption, "Expected a dtype that %s computes in (%s) but received \"%s\"", device.backend().name,
       names.c_str(), dtype_name(dtype));
}

}  // namespace

std::shared_ptr<const TransformerEncoder> TransformerEncoder::load(const std::string& directory, DevicePointer device,
                                                                   DType dtype,
                                                                   const std::optional<LayerWeighting>& weighting,
                                                                   const std::optional<AdapterSource>& adapter,
                                                                   const KeepLoading& keep_loading) {
  refuse_unsupported(*device, dtype);
  const std::string config_path = directory + "/config.json";
  const auto config_file = MappedFile::open(config_path);
  std::shared_ptr<TransformerEncoder> encoder(new TransformerEncoder(device, dtype));
  encoder->config_ = parse_model_config(Json::parse(config_file->text(), config_path, Json::Duplicates::kLastCounts));
  const ModelConfig& config = encoder->config_;

  const auto files = WeightFiles::open(directory);
  refuse_quantised_weights(*files);
  TensorReader reader(device, files, directory, config.names.prefixes, config.input.tables.front().name, keep_loading);
  std::shared_ptr<const AdapterFile> updates;
  if (adapter) updates = std::make_shared<const AdapterFile>(*adapter, config);
  reader.add_updates(updates);
  encoder->file_dtype_ = dtype_name(reader.find(config.input.tables.front().name).dtype);
  for (const TableSpec& table : config.input.tables) {
    encoder->tables_.push_back(reader.table(table.name, table.rows, config.hidden));
    encoder->weight_bytes_ += encoder->tables_.back().bytes();
  }
  if (config.embedding_norm)
    encoder->embedding_norm_ = reader.norm(config.names.embedding_norm, config.hidden, config.norm_bias);
  if (config.final_norm) encoder->final_norm_ = reader.norm(config.names.final_norm, config.hidden, config.norm_bias);
  if (config.relative_buckets > 0)
    encoder->relative_bias_ = std::make_shared<RelativeBias>(
        reader.floats(config.names.relative_bias, {config.relative_buckets, config.heads}), config.relative_buckets,
        config.relative_max_distance, device);
  for (size_t i = 0; i < config.layers.size(); ++i) {
    std::shared_ptr<RopeTable> rope;
    if (config.layers[i].rope.theta > 0) {
      for (size_t j = 0; j < i && !rope; ++j)
        if (config.layers[j].rope == config.layers[i].rope) rope = encoder->ropes_[j];
      if (!rope) rope = std::make_shared<RopeTable>(config.layers[i].rope, device);
    }
    encoder->ropes_.push_back(std::move(rope));
  }
  std::vector<LayerInputScales> inputs;
  if (dtype == DType::kI8) inputs = encoder->measure_inputs(reader);
  for (size_t i = 0; i < config.layers.size(); ++i) {
    encoder->layers_.push_back(read_layer(reader, dtype, config, i, inputs.empty() ? nullptr : &inputs[i]));
    // This layer is packed, so its pages can be released: at most one layer is in memory twice.
    reader.release_pages();
    encoder->weight_bytes_ += encoder->layers_.back().bytes();
  }
  for (const TensorView& view : files->all()) encoder->parameters_ += view.elements();
  reader.check_intact();
  if (updates) updates->check_intact();
  if (weighting) encoder->read_weighting(*weighting);
  return encoder;
}

DType TransformerEncoder::activation_dtype() const {
  if (dtype_ != DType::kI8) return dtype_;
  return device_->supports(DType::kBF16) ? DType::kBF16 : DType::kF32;
}

void TransformerEncoder::read_weighting(const LayerWeighting& weighting) {
  const auto last = static_cast<int64_t>(config_.layers.size()), count = last + 1 - weighting.layer_start;
  if (weighting.layer_start < 0 || count < 1)
    fail(Code::kInvalidConfig, "%s: layer_start %lld leaves no layers of %lld", weighting.directory.c_str(),
         static_cast<long long>(weighting.layer_start), static_cast<long long>(last));
  const TensorReader reader(device_, WeightFiles::open(weighting.directory), weighting.directory, {""},
                            "layer_weights");
  layer_factors_ = reader.floats("layer_weights", {count});
  layer_start_ = weighting.layer_start;
  float sum = 0;
  for (const float factor : layer_factors_) sum += factor;
  if (sum == 0.0f) fail(Code::kInvalidConfig, "%s: the layer weights add up to 0", weighting.directory.c_str());
  for (float& factor : layer_factors_) factor /= sum;
}

int64_t TransformerEncoder::max_tokens() const {
  if (!config_.position_table()) return 0;
  return config_.max_positions - (config_.padding_id >= 0 ? config_.padding_id + 1 : 0);
}

int64_t TransformerEncoder::width(const ForwardPlan& plan) const { return plan_width(config_, plan); }

ForwardPlan TransformerEncoder::plan(const PlanOptions& options) const {
  return forward_plan(config_, options, layer_factors_, layer_start_);
}

// --- running ---

void TransformerEncoder::write_indices(std::span<const int32_t> ids, int32_t* indices) const {
  write_positions(config_, ids, indices);
}

TransformerEncoder::Placed TransformerEncoder::place_outside(Layout& layout, const ForwardPlan& plan,
                                                             int64_t tokens) const {
  Placed placed;
  placed.hidden = layout.rows(tokens, config_.hidden);
  if (!plan.only_last) placed.fused = layout.rows(tokens, width(plan));
  placed.layers = layout.mark();
  return placed;
}

// Each layer uses the memory of the one before it.
LayerActivations TransformerEncoder::place_inside(Layout& layout, const Placed& placed, size_t layer,
                                                  int64_t tokens) const {
  layout.rewind(placed.layers);
  return place_layer(layout, config_.layers[layer], config_.hidden, tokens, activation_dtype(), Keep::kNothing,
                     placed.hidden, placed.hidden);
}

void TransformerEncoder::place(Layout& layout, const EncodePlan& plan, int64_t, int64_t tokens) const {
  const Placed placed = place_outside(layout, plan.forward, tokens);
  for (size_t i = 0; i < plan.forward.layers.size(); ++i) place_inside(layout, placed, i, tokens);
}

void TransformerEncoder::embed(const std::vector<Table>& tables, const Batch& batch, Stream& stream,
                               const View& hidden) const {
  std::vector<EmbedTable> rows;
  for (const Table& table : tables) rows.push_back({.rows = table.data(), .dtype = table.dtype()});
  embed_tables(device_->backend(), stream, config_, rows, batch, hidden);
  if (config_.embedding_norm) norm(embedding_norm_, batch.tokens, stream, hidden);
}

void TransformerEncoder::norm(const NormWeights& weights, int64_t tokens, Stream& stream, const View& hidden) const {
  check_status(device_->backend().norm(stream, {.kind = config_.norm,
                                                .x = hidden.floats(),
                                                .x_stride = hidden.stride,
                                                .y = hidden.data,
                                                .y_stride = hidden.stride,
                                                .rows = tokens,
                                                .width = config_.hidden,
                                                .weight = weights.weight.data(),
                                                .bias = weights.bias.data(),
                                                .epsilon = config_.epsilon}),
               stream, "norm");
}

void TransformerEncoder::fuse_state(const ForwardPlan& plan, int64_t state, int64_t tokens, Stream& stream,
                                    const Placed& placed) const {
  if (plan.only_last) return;
  for (size_t i = 0; i < plan.states.size(); ++i) {
    if (plan.states[i] != state) continue;
    check_status(device_->backend().fuse(
                     stream, {.x = placed.hidden.floats(),
                              .x_stride = placed.hidden.stride,
                              .y = placed.fused.floats() + (plan.concat ? static_cast<int64_t>(i) * config_.hidden : 0),
                              .y_stride = placed.fused.stride,
                              .rows = tokens,
                              .width = config_.hidden,
                              .factor = plan.factors[i],
                              .first = plan.concat || i == 0}),
                 stream, "fuse");
  }
}

void TransformerEncoder::run_layer(size_t layer, const ForwardPlan::Layer& attention, const LayerWeights& weights,
                                   const Batch& batch, Stream& stream, const LayerActivations& at) const {
  const auto rope = ropes_[layer] ? ropes_[layer]->at_least(batch.longest) : nullptr;
  const auto bias = relative_bias_ ? relative_bias_->at_least(std::max<int64_t>(batch.longest - 1, 0)) : nullptr;
  // Another batch may grow the tables meanwhile.
  batch.keep(rope);
  batch.keep(bias);
  const LayerCall call{.backend = device_->backend(),
                       .stream = stream,
                       .batch = batch,
                       .hidden = config_.hidden,
                       .mask = attention.mask,
                       .window = attention.window,
                       .rope = rope.get(),
                       .bias = bias ? bias->bias.data() : nullptr,
                       .bias_reach = bias ? bias->reach : 0,
                       .adapter = batch.adapter ? batch.adapter->layer(layer) : nullptr};
  layer_forward(call, config_.layers[layer], weights, at);
}

View TransformerEncoder::forward(Layout& layout, const EncodePlan& encode_plan, const Batch& batch, Stream& stream,
                                 const BetweenLayers& between_layers) const {
  const ForwardPlan& plan = encode_plan.forward;
  const Placed placed = place_outside(layout, plan, batch.tokens);
  embed(tables_, batch, stream, placed.hidden);
  fuse_state(plan, 0, batch.tokens, stream, placed);
  for (size_t i = 0; i < plan.layers.size(); ++i) {
    if (!between_layers()) return {};
    run_layer(i, plan.layers[i], layers_[i], batch, stream, place_inside(layout, placed, i, batch.tokens));
    if (i + 1 == config_.layers.size() && config_.final_norm) norm(final_norm_, batch.tokens, stream, placed.hidden);
    fuse_state(plan, static_cast<int64_t>(i) + 1, batch.tokens, stream, placed);
  }
  return plan.only_last ? placed.hidden : placed.fused;
}

void TransformerEncoder::add_to_replay_key(const Batch& batch, std::vector<uint64_t>& key) const {
  const auto add = [&](const auto& values) {
    key.push_back(reinterpret_cast<uintptr_t>(values.get()));
    batch.keep(values);
  };
  const RopeTable* last = nullptr;
  for (const auto& rope : ropes_) {
    if (rope && rope.get() != last) add(rope->at_least(batch.longest));
    last = rope.get();
  }
  if (relative_bias_) add(relative_bias_->at_least(std::max<int64_t>(batch.longest - 1, 0)));
}

// Runs in float32, layer by layer, so that only one layer's float32 weights are in memory.
std::vector<LayerInputScales> TransformerEncoder::measure_inputs(const TensorReader& reader) const {
  const CalibrationTexts texts(config_.vocab, max_tokens());
  BatchBuilder builder;
  for (size_t i = 0; i < texts.zeros.size(); ++i)
    builder.add(std::span(texts.ids).subspan(static_cast<size_t>(texts.offsets[i]), static_cast<size_t>(texts.longest)),
                0, 0);
  const int64_t tokens = builder.tokens(), hidden = config_.hidden;
  const std::vector<ForwardPlan::Layer> attention = attention_plan(config_, {});

  OpenStream stream(device_);
  Workspace workspace;
  const auto place = [&](Layout& layout, size_t layer, View* residual) {
    builder.place(layout, device_->backend());
    residual[0] = layout.rows(tokens, hidden);
    residual[1] = layout.rows(tokens, hidden);
    return place_layer(layout, config_.layers[layer], hidden, tokens, DType::kF32, Keep::kInputs, residual[layer % 2],
                       residual[(layer + 1) % 2]);
  };
  View residual[2];
  Layout layout = workspace.fit(*device_, [&](Layout& measure) {
    for (size_t i = 0; i < config_.layers.size(); ++i) {
      measure.rewind(0);
      place(measure, i, residual);
    }
  });
  Layout uploading = layout;
  const Batch batch = builder.upload(uploading, *this, stream);

  std::vector<Table> tables;
  for (size_t i = 0; i < tables_.size(); ++i)
    tables.push_back(reader.while_loading(tables_[i], config_.input.tables[i].name));
  std::vector<LayerInputScales> inputs(config_.layers.size());
  std::vector<float> rows(static_cast<size_t>(tokens * hidden));  // on the host
  const auto add = [&](InputScales& scales, const View& view) {
    check_status(device_->backend().download(stream, rows.data(), view.data, rows.size() * sizeof(float)), stream,
                 "a download");
    stream.wait();
    scales.add(rows.data(), hidden, tokens, hidden);
  };
  for (size_t i = 0; i < config_.layers.size(); ++i) {
    layout.rewind(0);
    const LayerActivations at = place(layout, i, residual);
    if (i == 0) embed(tables, batch, stream, at.input);
    const LayerWeights weights = read_layer(reader, DType::kF32, config_, i);
    run_layer(i, attention[i], weights, batch, stream, at);
    stream.wait();
    reader.release_pages();
    add(inputs[i].qkv, at.attention_input);
    add(inputs[i].up, at.mlp_input);
  }
  return inputs;
}

}  // namespace embedcore
