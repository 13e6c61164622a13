#include "train/step_bytes.h"

#include <algorithm>

#include "train/layer_pass.h"

namespace embedcore {

namespace {

// The layer that a module belongs to, by the start of its name; config.layers.size() if it is none's.
size_t layer_of(const ModelConfig& config, const std::string& module) {
  for (size_t i = 0; i < config.layers.size(); ++i) {
    std::string prefix = config.names.layer;
    prefix.replace(prefix.find("%d"), 2, std::to_string(i));
    if (module.starts_with(prefix)) return i;
  }
  return config.layers.size();
}

}  // namespace

StepBytes step_bytes(const ModelConfig& config, DType dtype, const std::vector<LoraSpec>& lora, bool host) {
  constexpr int64_t kTokens = 1 << 12;  // so many that the alignment of rows does not count
  const auto each_token = [](auto&& place) {
    Layout layout;
    place(layout);
    return static_cast<double>(layout.most()) / kTokens;
  };
  std::vector<std::vector<int64_t>> ranks(config.layers.size());
  PassParts parts;
  for (const LoraSpec& spec : lora) {
    const size_t layer = layer_of(config, spec.module);
    if (layer == config.layers.size()) continue;
    ranks[layer].push_back(spec.rank);
    const LayerSpec& shape = config.layers[layer];
    // The widest input that a part may have.
    if (spec.dropout > 0)
      parts.dropped_in = std::max({parts.dropped_in, config.hidden, shape.intermediate, shape.heads * shape.head_dim});
  }
  for (const std::vector<int64_t>& of_layer : ranks) {
    parts.ranks.resize(std::max(parts.ranks.size(), of_layer.size()));
    for (size_t i = 0; i < of_layer.size(); ++i) parts.ranks[i] = std::max(parts.ranks[i], of_layer[i]);
  }
  parts.trains_heads = lora.empty();

  StepBytes bytes;
  bytes.slab_tokens = SlabSizes::of(host).slab_tokens;
  bytes.embedded = each_token([&](Layout& layout) {
    layout.rows(kTokens, config.hidden);
    for (int i = 0; i < 4; ++i) layout.array<float>(kTokens);
    if (!host) layout.array<RowKey>(kTokens);
  });
  for (size_t i = 0; i < config.layers.size(); ++i) {
    KeptLayer kept;
    bytes.sums.push_back(each_token([&](Layout& layout) { kept = place_sum(layout, config.hidden, kTokens); }));
    bytes.rest.push_back(each_token(
        [&](Layout& layout) { place_rest(layout, config.layers[i], ranks[i], config.hidden, kTokens, dtype, kept); }));
  }
  bytes.scratch = each_token([&](Layout& layout) {
    place_scratch(layout, config, parts, kTokens, {.dtype = dtype, .backward = true});
    layout.rows(kTokens, config.hidden);  // the gradient of what is pooled
  });
  if (config.layers.empty()) {
    bytes.forward = each_token(
        [&](Layout& layout) { place_scratch(layout, config, parts, kTokens, {.dtype = dtype, .backward = false}); });
    return bytes;
  }
  bytes.shared = each_token([&](Layout& layout) {
    KeptLayer kept;
    place_rest(layout, config.layers.front(), parts.ranks, config.hidden, kTokens, dtype, kept);
  });
  bytes.forward = each_token([&](Layout& layout) {
    place_scratch(layout, config, parts, kTokens, {.dtype = dtype, .backward = false});
    KeptLayer kept = place_sum(layout, config.hidden, kTokens);
    place_rest(layout, config.layers.front(), parts.ranks, config.hidden, kTokens, dtype, kept);
  });
  return bytes;
}

}  // namespace embedcore
