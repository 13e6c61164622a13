#include "model/encoder.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "base/mapped_file.h"
#include "model/quantised.h"
#include "ops/combine.h"
#include "ops/embed.h"

namespace embedcore {

namespace {

int64_t widest(const ModelConfig& config, int64_t (*size)(const LayerSpec&)) {
  int64_t most = 0;
  for (const LayerSpec& layer : config.layers) most = std::max(most, size(layer));
  return most;
}
int64_t widest_qkv(const ModelConfig& config) {
  return widest(config, [](const LayerSpec& layer) { return layer.qkv_width(); });
}
int64_t widest_mixed(const ModelConfig& config) {
  return widest(config, [](const LayerSpec& layer) { return layer.heads * layer.head_dim; });
}
int64_t widest_up(const ModelConfig& config) {
  return widest(config,
                [](const LayerSpec& layer) { return layer.gated ? 2 * layer.intermediate : layer.intermediate; });
}

// T5's buckets, both directions: half of them for keys behind, half for keys ahead; near ones exact, far ones
// logarithmic.
int64_t relative_bucket(int64_t distance, int64_t buckets, int64_t max_distance) {
  const int64_t half = buckets / 2;
  int64_t bucket = 0;
  int64_t n = -distance;  // distance = key - query
  if (n < 0) {
    bucket = half;
    n = -n;
  }
  const int64_t exact = half / 2;
  if (n < exact) return bucket + n;
  const float ratio = std::log(static_cast<float>(n) / static_cast<float>(exact)) /
                      static_cast<float>(std::log(static_cast<double>(max_distance) / static_cast<double>(exact)));
  return bucket + std::min(half - 1, exact + static_cast<int64_t>(ratio * static_cast<float>(half - exact)));
}

}  // namespace

std::shared_ptr<const Encoder> Encoder::load(const std::string& directory, const Backend& backend, DType dtype) {
  const std::string config_path = directory + "/config.json";
  const auto config_file = MappedFile::open(config_path);
  std::shared_ptr<Encoder> encoder(new Encoder(backend, dtype));
  encoder->config_ = parse_model_config(Json::parse(config_file->text(), config_path, Json::Duplicates::kLastCounts));
  const ModelConfig& config = encoder->config_;

  encoder->files_ = WeightFiles::open(directory);
  refuse_quantised_weights(*encoder->files_);
  const TableSpec& words = *config.input.table(TableSpec::Index::kToken);
  const TensorReader reader(encoder->files_, directory, config.names.prefixes, words.name);
  encoder->word_ = reader.table(words.name, words.rows, config.hidden);
  encoder->file_dtype_ = dtype_name(reader.find(words.name).dtype);
  if (const TableSpec* positions = config.position_table())
    encoder->position_ = reader.table(positions->name, positions->rows, config.hidden);
  if (const TableSpec* types = config.input.table(TableSpec::Index::kType)) {
    const Table table = reader.table(types->name, types->rows, config.hidden);
    encoder->type_.assign(table.data(), table.data() + config.hidden);
  }
  if (config.embedding_norm)
    encoder->embedding_norm_ = reader.norm(config.names.embedding_norm, config.hidden, config.norm_bias);
  if (config.final_norm) encoder->final_norm_ = reader.norm(config.names.final_norm, config.hidden, config.norm_bias);
  if (config.relative_buckets > 0) {
    const Table table = reader.table(config.names.relative_bias, config.relative_buckets, config.heads);
    encoder->relative_table_.assign(table.data(), table.data() + config.relative_buckets * config.heads);
  }
  encoder->weight_bytes_ =
      static_cast<size_t>(config.vocab * config.hidden) * sizeof(float) + encoder->position_.owned_bytes();
  for (size_t i = 0; i < config.layers.size(); ++i) {
    std::shared_ptr<RopeTable> rope;
    if (config.layers[i].rope.theta > 0) {
      for (size_t j = 0; j < i && !rope; ++j)
        if (config.layers[j].rope == config.layers[i].rope) rope = encoder->ropes_[j];
      if (!rope) rope = std::make_shared<RopeTable>(config.layers[i].rope);
    }
    encoder->ropes_.push_back(std::move(rope));
  }
  std::vector<LayerInputSizes> inputs;
  if (dtype == DType::kI8) inputs = encoder->measure_inputs(reader);
  encoder->layers_.clear();
  for (size_t i = 0; i < config.layers.size(); ++i) {
    encoder->layers_.push_back(read_layer(reader, backend, dtype, config, i, inputs.empty() ? nullptr : &inputs[i]));
    // What was packed needs its file pages no longer: file and packed weights never lie in memory together. The tables'
    // come back as they are touched.
    encoder->files_->release_pages();
    const LayerWeights& layer = encoder->layers_.back();
    encoder->weight_bytes_ += layer.qkv.bytes() + layer.output.bytes() + layer.up.bytes() + layer.down.bytes();
  }
  for (const TensorView& view : encoder->files_->all()) encoder->parameters_ += view.elements();
  if (!encoder->files_->intact())
    fail(Code::kInvalidFile, "%s: a weight file was cut short while it was read", directory.c_str());
  return encoder;
}

int64_t Encoder::max_tokens() const {
  if (!config_.position_table()) return 0;
  return config_.max_positions - (config_.padding_id >= 0 ? config_.padding_id + 1 : 0);
}

std::vector<ForwardPlan::Layer> Encoder::attention_plan(const std::vector<Mask>& masks) const {
  const size_t count = config_.layers.size();
  if (masks.size() > 1 && masks.size() != count)
    fail(Code::kInvalidOption, "attention has %zu entries; the model has %zu layers (give one entry, or one a layer)",
         masks.size(), count);
  std::vector<ForwardPlan::Layer> plan;
  for (size_t i = 0; i < count; ++i) {
    const LayerSpec& spec = config_.layers[i];
    ForwardPlan::Layer layer{spec.mask, spec.window};
    if (!masks.empty()) layer.mask = masks.size() == 1 ? masks[0] : masks[i];
    // The window keeps its number when the mask changes kind, though the two kinds count it differently
    // (ops/attention.h): as transformers does with config.is_causal = False, and as ModernBERT's own causal variant has
    // it.
    plan.push_back(layer);
  }
  return plan;
}

size_t Encoder::workspace_floats(const ForwardPlan& plan, int64_t tokens) const {
  const int64_t hidden = config_.hidden;
  const DType dtype = activation_dtype();
  size_t floats = Workspace::size_of(tokens * hidden) + Workspace::size_of(tokens);
  for (const int64_t elements : {tokens * hidden, tokens * widest_qkv(config_), tokens * widest_mixed(config_),
                                 std::min(tokens, kMiddleRows) * widest_up(config_)})
    floats += Workspace::size_of(elements, dtype);
  if (!plan.only_last) floats += Workspace::size_of(tokens * width(plan));
  return floats;
}

void Encoder::embed(const Group& group, Workspace& workspace, Scope& scope, float* hidden) const {
  const int64_t tokens = group.tokens();
  // Positions are written into a float buffer's memory: both are four bytes wide.
  auto* positions = reinterpret_cast<int32_t*>(workspace.cut(tokens));
  for (int64_t text = 0; text < group.texts; ++text) {
    int32_t next = 0;
    for (int64_t t = group.offsets[text]; t < group.offsets[text + 1]; ++t) {
      if (config_.padding_id < 0) {
        positions[t] = next++;
      } else {
        const bool padding = group.ids[t] == config_.padding_id;
        positions[t] = static_cast<int32_t>(config_.padding_id) + (padding ? 0 : ++next);
      }
    }
  }
  check_status(backend_.embed(scope, {group.ids, positions, tokens, config_.hidden, word_.data(), position_.data(),
                                      type_.empty() ? nullptr : type_.data(), hidden, config_.hidden}),
               scope, "embed");
  if (config_.embedding_norm) norm(embedding_norm_, tokens, scope, hidden);
}

void Encoder::norm(const NormWeights& weights, int64_t tokens, Scope& scope, float* hidden) const {
  check_status(backend_.norm(scope, {config_.norm, hidden, config_.hidden, hidden, config_.hidden, tokens,
                                     config_.hidden, weights.weight.data(),
                                     weights.bias.empty() ? nullptr : weights.bias.data(), config_.epsilon}),
               scope, "norm");
}

void Encoder::keep_state(const ForwardPlan& plan, int64_t state, int64_t tokens, Scope& scope, const float* hidden,
                         float* joined) const {
  for (size_t i = 0; i < plan.states.size(); ++i) {
    if (plan.states[i] != state) continue;
    const int64_t joined_width = width(plan);
    float* to = joined + (plan.concat ? static_cast<int64_t>(i) * config_.hidden : 0);
    check_status(backend_.combine(scope, {hidden, config_.hidden, to, joined_width, tokens, config_.hidden,
                                          plan.factors[i], plan.concat || i == 0}),
                 scope, "combine");
  }
}

// [heads, 2 * reach + 1], see ops/attention.h
std::vector<float> Encoder::relative_bias(int64_t reach) const {
  const int64_t heads = config_.heads, span = 2 * reach + 1;
  std::vector<float> bias(static_cast<size_t>(heads * span));
  for (int64_t d = -reach; d <= reach; ++d) {
    const int64_t bucket = relative_bucket(d, config_.relative_buckets, config_.relative_max_distance);
    for (int64_t h = 0; h < heads; ++h)
      bias[static_cast<size_t>(h * span + reach + d)] = relative_table_[static_cast<size_t>(bucket * heads + h)];
  }
  return bias;
}

// In float32, layer by layer: no more than one layer's float32 weights are in memory.
std::vector<LayerInputSizes> Encoder::measure_inputs(const TensorReader& reader) {
  const CalibrationTexts texts(config_.vocab, max_tokens());
  const Group group{texts.ids.data(),
                    texts.offsets.data(),
                    texts.zeros.data(),
                    texts.zeros.data(),
                    static_cast<int64_t>(texts.zeros.size()),
                    texts.longest};
  ForwardPlan plan;
  plan.layers = attention_plan({});
  Scope scope{};
  scope.parallel = [](void*, int64_t tasks, void (*body)(void*, int64_t), void* arg) {
    for (int64_t task = 0; task < tasks; ++task) body(arg, task);
  };
  const DType dtype = std::exchange(dtype_, DType::kF32);
  std::vector<LayerInputSizes> inputs(config_.layers.size());
  layers_.resize(inputs.size());
  Workspace workspace;
  workspace.reset(workspace_floats(plan, group.tokens()));
  size_t next = 0;
  forward_watched(
      plan, group, workspace, scope,
      [&] {
        if (next > 0) layers_[next - 1] = {};
        layers_[next] = read_layer(reader, backend_, DType::kF32, config_, next);
        files_->release_pages();
        ++next;
        return true;
      },
      &inputs);
  dtype_ = dtype;
  return inputs;
}

const float* Encoder::forward(const ForwardPlan& plan, const Group& group, Workspace& workspace, Scope& scope,
                              const std::function<bool()>& between_layers) const {
  return forward_watched(plan, group, workspace, scope, between_layers, nullptr);
}

const float* Encoder::forward_watched(const ForwardPlan& plan, const Group& group, Workspace& workspace, Scope& scope,
                                      const std::function<bool()>& between_layers,
                                      std::vector<LayerInputSizes>* watched) const {
  const int64_t tokens = group.tokens(), hidden_size = config_.hidden;
  LayerBuffers buffers{};
  buffers.hidden = workspace.cut(tokens * hidden_size);
  buffers.dtype = activation_dtype();
  buffers.normed = workspace.cut(tokens * hidden_size, buffers.dtype);
  buffers.qkv = workspace.cut(tokens * widest_qkv(config_), buffers.dtype);
  buffers.mixed = workspace.cut(tokens * widest_mixed(config_), buffers.dtype);
  buffers.middle_rows = std::min(tokens, kMiddleRows);
  buffers.middle = workspace.cut(buffers.middle_rows * widest_up(config_), buffers.dtype);
  float* joined = plan.only_last ? nullptr : workspace.cut(tokens * width(plan));

  embed(group, workspace, scope, buffers.hidden);
  if (joined) keep_state(plan, 0, tokens, scope, buffers.hidden, joined);

  const int64_t reach = std::max<int64_t>(group.longest - 1, 0);
  const std::vector<float> bias = config_.relative_buckets > 0 ? relative_bias(reach) : std::vector<float>();
  const int64_t last = static_cast<int64_t>(config_.layers.size());
  for (size_t i = 0; i < plan.layers.size(); ++i) {
    if (!between_layers()) return nullptr;
    const auto rope = ropes_[i] ? ropes_[i]->at_least(group.longest) : nullptr;
    const LayerCall call{backend_,
                         scope,
                         group,
                         hidden_size,
                         plan.layers[i].mask,
                         plan.layers[i].window,
                         rope.get(),
                         bias.empty() ? nullptr : bias.data(),
                         reach,
                         watched ? &(*watched)[i] : nullptr};
    layer_forward(call, config_.layers[i], layers_[i], buffers);
    const auto state = static_cast<int64_t>(i) + 1;
    if (state == last && config_.final_norm) norm(final_norm_, tokens, scope, buffers.hidden);
    if (joined) keep_state(plan, state, tokens, scope, buffers.hidden, joined);
  }
  return joined ? joined : buffers.hidden;
}

}  // namespace embedcore
