#include "train/layer_pass.h"

#include <algorithm>

#include "ops/activation.h"
#include "ops/fuse.h"

namespace embedcore {

namespace {

int64_t up_width(const LayerSpec& spec) { return spec.gated ? 2 * spec.intermediate : spec.intermediate; }
int64_t qk_width(const LayerSpec& spec) { return (spec.heads + spec.kv_heads) * spec.head_dim; }

template <typename Visit>
void each_linear(const TrainedLayer& layer, Visit&& visit) {
  visit(layer.qkv);
  visit(layer.output);
  visit(layer.up);
  visit(layer.down);
}

std::vector<float*> place_parts(Layout& layout, const std::vector<int64_t>& ranks, int64_t tokens) {
  std::vector<float*> parts;
  for (const int64_t rank : ranks) parts.push_back(layout.array<float>(tokens * rank));
  return parts;
}

// The sites of LoRA's dropout come after the layer's own.
uint32_t lora_site(const LayerSpec& spec, uint32_t site, const TrainedLora& lora) {
  return site + site_of(spec, kLayerSites) + static_cast<uint32_t>(lora.number);
}

}  // namespace

uint32_t sites_of_layer(const LayerSpec& spec) {
  return site_of(spec, kLayerSites) + static_cast<uint32_t>(kMostLayerParts);
}

std::vector<int64_t> lora_ranks(const TrainedLayer& layer) {
  std::vector<int64_t> ranks;
  each_linear(layer, [&](const TrainedLinear& linear) {
    for (const TrainedLora& lora : linear.lora) ranks.push_back(lora.rank);
  });
  return ranks;
}

PassParts pass_parts(const TrainedWeights& weights) {
  PassParts parts;
  for (const TrainedLayer& layer : weights.layers()) {
    const std::vector<int64_t> ranks = lora_ranks(layer);
    parts.ranks.resize(std::max(parts.ranks.size(), ranks.size()));
    for (size_t i = 0; i < ranks.size(); ++i) parts.ranks[i] = std::max(parts.ranks[i], ranks[i]);
    each_linear(layer, [&](const TrainedLinear& linear) {
      for (const TrainedLora& lora : linear.lora)
        if (lora.dropout > 0) parts.dropped_in = std::max(parts.dropped_in, linear.in);
    });
    parts.trains_heads = parts.trains_heads || layer.dq_norm || layer.dk_norm;
  }
  return parts;
}

KeptLayer place_sum(Layout& layout, int64_t hidden, int64_t tokens) {
  KeptLayer kept;
  kept.mlp_sum = layout.rows(tokens, hidden);
  kept.mlp_mean = layout.array<float>(tokens);
  kept.mlp_rstd = layout.array<float>(tokens);
  return kept;
}

void place_rest(Layout& layout, const LayerSpec& spec, const std::vector<int64_t>& ranks, int64_t hidden,
                int64_t tokens, DType dtype, KeptLayer& kept) {
  kept.qkv = layout.rows(tokens, spec.qkv_width(), dtype);
  if (spec.qk_norm) kept.raw = layout.rows(tokens, qk_width(spec));
  kept.context = layout.rows(tokens, spec.heads * spec.head_dim, dtype);
  kept.attention_sum = layout.rows(tokens, hidden);
  kept.up = layout.rows(tokens, up_width(spec), dtype);
  kept.lse = layout.array<float>(spec.heads * tokens);
  kept.attention_mean = layout.array<float>(tokens);
  kept.attention_rstd = layout.array<float>(tokens);
  kept.lora = place_parts(layout, ranks, tokens);
}

LayerScratch place_scratch(Layout& layout, const ModelConfig& config, const PassParts& parts, int64_t tokens,
                           const PassSettings& settings) {
  LayerScratch scratch;
  const int64_t hidden = config.hidden;
  LayerSpec widest;  // of each kind of row, the widest of any layer
  widest.intermediate = 0;
  int64_t qkv = 0, context = 0, up = 0, qk = 0, heads = 0;
  bool qk_norm = false, pre_norm = false, post_norm = false, gated = false;
  for (const LayerSpec& spec : config.layers) {
    qkv = std::max(qkv, spec.qkv_width());
    context = std::max(context, spec.heads * spec.head_dim);
    up = std::max(up, up_width(spec));
    widest.intermediate = std::max(widest.intermediate, spec.intermediate);
    widest.head_dim = std::max(widest.head_dim, spec.head_dim);
    (spec.norm_first ? pre_norm : post_norm) = true;
    gated = gated || spec.gated;
    if (spec.qk_norm) {
      qk_norm = true;
      qk = std::max(qk, qk_width(spec));
      heads = std::max(heads, spec.heads + spec.kv_heads);
    }
  }
  scratch.hidden = layout.rows(tokens, hidden);
  if (post_norm) scratch.attended = layout.rows(tokens, hidden);
  if (pre_norm) {
    scratch.attention_x = layout.rows(tokens, hidden, settings.dtype);
    scratch.mlp_x = layout.rows(tokens, hidden, settings.dtype);
  }
  scratch.intermediate = layout.rows(tokens, widest.intermediate, settings.dtype);
  if (!settings.backward) return scratch;
  for (View* each : {&scratch.dout, &scratch.dsum, &scratch.dinput, &scratch.dz_down, &scratch.dz_output})
    *each = layout.rows(tokens, hidden);
  scratch.dup = layout.rows(tokens, up);
  scratch.dintermediate = gated ? layout.rows(tokens, widest.intermediate) : scratch.dup;
  scratch.dcontext = layout.rows(tokens, context);
  scratch.dqkv = layout.rows(tokens, qkv);
  if (qk_norm) {
    scratch.head_rstd = layout.array<float>(heads * tokens);
    scratch.head_rows = layout.rows(tokens, widest.head_dim);
    if (parts.trains_heads) scratch.dnormed = layout.rows(tokens, qk);
  }
  if (parts.dropped_in > 0) scratch.lora_x = layout.rows(tokens, parts.dropped_in);
  scratch.dlora = place_parts(layout, parts.ranks, tokens);
  return scratch;
}

LayerActivations group_activations(const LayerSpec& spec, const KeptLayer& kept, const LayerScratch& scratch,
                                   const View& input, int64_t first_row) {
  const auto rows = [&](const View& view) { return view.data ? view.from_row(first_row) : View{}; };
  LayerActivations at;
  at.qkv = rows(kept.qkv);
  at.raw = rows(kept.raw);
  at.context = rows(kept.context);
  at.attention_sum = rows(kept.attention_sum);
  at.up = rows(kept.up);
  at.mlp_sum = rows(kept.mlp_sum);
  at.intermediate = rows(scratch.intermediate);
  at.mlp_rows = kMlpRows;
  at.lse = kept.lse + spec.heads * first_row;
  at.attention_mean = kept.attention_mean + first_row;
  at.attention_rstd = kept.attention_rstd + first_row;
  at.mlp_mean = kept.mlp_mean + first_row;
  at.mlp_rstd = kept.mlp_rstd + first_row;
  if (spec.norm_first) {
    at.input = rows(input);
    at.attention_input = spec.attention_norm ? rows(scratch.attention_x) : at.input;
    at.attended = at.attention_sum;
    at.mlp_input = rows(scratch.mlp_x);
    at.output = at.mlp_sum;
  } else {
    at.input = at.attention_input = at.output = rows(scratch.hidden);
    at.attended = at.mlp_input = rows(scratch.attended);
  }
  return at;
}

LayerAdapter group_adapter(const LayerSpec& spec, const TrainedLayer& layer, const KeptLayer& kept, int64_t first_row,
                           const DropoutOfPass* dropout, uint32_t site) {
  LayerAdapter adapter;
  const auto fill = [&](const TrainedLinear& linear, std::vector<LoraPart>& parts) {
    for (const TrainedLora& lora : linear.lora) {
      LoraPart& part = parts.emplace_back();
      part = {.first = lora.first,
              .count = lora.count,
              .rank = lora.rank,
              .a = lora.a,
              .b = lora.b,
              .scale = lora.scale,
              .middle = kept.lora[static_cast<size_t>(lora.number)] + first_row * lora.rank};
      if (dropout && lora.dropout > 0) part.dropout = dropout->at(lora.dropout, lora_site(spec, site, lora));
    }
  };
  fill(layer.qkv, adapter.qkv);
  fill(layer.output, adapter.output);
  fill(layer.up, adapter.up);
  fill(layer.down, adapter.down);
  return adapter;
}

}  // namespace embedcore
