#include "train/encoder_pass.h"

#include <algorithm>

#include "model/embedding.h"
#include "model/forward_plan.h"
#include "ops/fuse.h"
#include "train/encoder_run.h"
#include "train/groups.h"

namespace embedcore {

namespace {

bool reads_rows_again(const EncodePlan& plan) {
  return std::find(plan.pooling.begin(), plan.pooling.end(), Pooling::kMax) != plan.pooling.end();
}

}  // namespace

EncoderPass::EncoderPass(const TrainedWeights& weights, const EncodePlan& plan)
    : weights_(weights),
      backend_(weights.device().backend()),
      plan_(plan),
      dtype_(weights.dtype()),
      parts_(pass_parts(weights)) {
  const ForwardPlan& forward = plan.forward;
  width_ = plan_width(weights.config(), forward);
  uint32_t site = kEmbeddingSite + 1;
  for (const LayerSpec& spec : weights.config().layers) {
    sites_.push_back(site);
    site += sites_of_layer(spec);
  }
}

bool EncoderPass::has_final_norm() const {
  return weights_.config().final_norm && layers() == weights_.config().layers.size();
}

void EncoderPass::begin_step(Stream& stream, uint64_t seed, int64_t longest) {
  seed_ = seed;
  if (!weights_.relative_bias()) return;
  relative_ = weights_.relative_bias()->at_least(std::max<int64_t>(longest - 1, 0));
  relative_gradient_.reset();
  if (!weights_.relative_bias_gradient()) return;
  const std::vector<float> zeros(relative_->bias.size());
  relative_gradient_ = weights_.device().upload(zeros.data(), zeros.size() * sizeof(float));
  (void)stream;
}

// --- memory ---

namespace {

// Workspace::fit, which may free memory that operations under way on a device still use.
template <typename Place>
Layout fit_workspace(Workspace& workspace, const OpenDevice& device, Stream& stream, Place&& place) {
  Layout measured;
  place(measured);
  if (!device.backend().host_memory && measured.most() > workspace.bytes())
    check_status(device.backend().wait(stream), stream, "waiting for the device");
  return workspace.fit(device, place);
}

// Rows to place. Operations need memory even where no text has a token.
int64_t rows_of(const Slab& slab) { return std::max<int64_t>(slab.tokens, 1); }

}  // namespace

void EncoderPass::fit(Stream& stream, Slab& slab, KeptSlab& kept) {
  const int64_t tokens = rows_of(slab), hidden = weights_.config().hidden;
  const auto place = [&](Layout& layout) {
    kept.embedded = layout.rows(tokens, hidden);
    kept.embedding_mean = layout.array<float>(tokens);
    kept.embedding_rstd = layout.array<float>(tokens);
    kept.final_mean = layout.array<float>(tokens);
    kept.final_rstd = layout.array<float>(tokens);
    kept.layers.clear();
    for (size_t i = 0; i < layers() && kept.keeping.backward; ++i) {
      KeptLayer layer = place_sum(layout, hidden, tokens);
      if (kept.keeping.all_of(i))
        place_rest(layout, weights_.config().layers[i], lora_ranks(weights_.layers()[i]), hidden, tokens, dtype_,
                   layer);
      kept.layers.push_back(std::move(layer));
    }
    kept.tokens = View{};
    if (kept.keeping.backward && reads_rows_again(plan_)) kept.tokens = layout.rows(tokens, width_);
  };
  Layout layout = fit_workspace(kept.workspace, weights_.device(), stream, [&](Layout& measure) {
    place_slab(measure, slab, backend_);
    place(measure);
  });
  upload_slab(layout, slab, weights_.config(), weights_.device(), stream);
  place(layout);
}

void EncoderPass::fit_scratch(Stream& stream, const Slab& slab, const KeptSlab& kept) {
  const ModelConfig& config = weights_.config();
  const int64_t tokens = rows_of(slab);
  const auto place = [&](Layout& layout) {
    scratch_ = place_scratch(layout, config, parts_, tokens, {.dtype = dtype_, .backward = kept.keeping.backward});
    fused_ = dfused_ = View{};
    if (!plan_.forward.only_last) fused_ = layout.rows(tokens, width_);
    if (kept.keeping.backward) dfused_ = layout.rows(tokens, width_);
    shared_ = KeptLayer{};
    if (config.layers.empty() || kept.keeping.all_of(0)) return;
    if (!kept.keeping.backward) shared_ = place_sum(layout, config.hidden, tokens);
    place_rest(layout, config.layers.front(), parts_.ranks, config.hidden, tokens, dtype_, shared_);
  };
  Layout layout = fit_workspace(scratch_memory_, weights_.device(), stream, place);
  place(layout);
}

KeptLayer EncoderPass::layer_of(const KeptSlab& kept, size_t layer) const {
  if (kept.keeping.all_of(layer)) return kept.layers[layer];
  KeptLayer shared = shared_;
  if (kept.keeping.backward) {
    shared.mlp_sum = kept.layers[layer].mlp_sum;
    shared.mlp_mean = kept.layers[layer].mlp_mean;
    shared.mlp_rstd = kept.layers[layer].mlp_rstd;
  }
  return shared;
}

// The residual stream that enters a layer. After a norm it is made by make_input.
View EncoderPass::layer_input(const KeptSlab& kept, size_t layer) const {
  if (layer == 0 || !weights_.config().layers[layer].norm_first) return scratch_.hidden;
  return layer_of(kept, layer - 1).mlp_sum;
}

// --- forward ---

void EncoderPass::forward(Stream& stream, Slab& slab, KeptSlab& kept, const View& pooled, Keeping keeping,
                          bool dropout) {
  kept.keeping = keeping;
  // Nothing is made again below the lowest layer that is trained, because no gradient goes there.
  kept.keeping.recomputed = std::max(keeping.recomputed, weights_.first_trained_layer());
  if (!has_backward()) kept.keeping = Keeping{};
  kept.dropout = dropout;
  fit(stream, slab, kept);
  fit_scratch(stream, slab, kept);
  for_groups(stream, slab, [&](Stream& own, Group& group) {
    const GroupRun run{own, slab, group, kept, {seed_, slab.device_keys + group.first_row}};
    forward_group(run, pooled);
  });
}

void EncoderPass::forward_group(const GroupRun& run, const View& pooled) const {
  const ModelConfig& config = weights_.config();
  embed_tables(backend_, run.stream, config, weights_.tables(), run.group.batch, run.rows(run.kept.embedded));
  make_input(run, 0);
  View rows = run.rows(scratch_.hidden);
  fuse_state(run, 0, rows);
  for (size_t i = 0; i < layers(); ++i) {
    with_layer(
        run, i,
        [&](const LayerCall& call, const LayerSpec& spec, const TrainedLayer& layer, const LayerActivations& at) {
          layer_forward(call, spec, layer.weights, at);
          rows = at.output;
        });
    if (i + 1 == layers() && has_final_norm()) {
      const View hidden = run.rows(scratch_.hidden);
      norm(run, weights_.final_norm(), rows, hidden, run.kept.final_mean + run.row(), run.kept.final_rstd + run.row());
      rows = hidden;
    }
    fuse_state(run, static_cast<int64_t>(i) + 1, rows);
  }
  pool(run, plan_.forward.only_last ? rows : run.rows(fused_), pooled);
}

void EncoderPass::norm(const GroupRun& run, const NormWeights& weights, const View& x, const View& y, float* mean,
                       float* rstd) const {
  const ModelConfig& config = weights_.config();
  check_status(backend_.norm(run.stream, {.kind = config.norm,
                                          .x = x.floats(),
                                          .x_stride = x.stride,
                                          .y = y.data,
                                          .y_stride = y.stride,
                                          .rows = run.tokens(),
                                          .width = config.hidden,
                                          .weight = weights.weight.data(),
                                          .bias = weights.bias.data(),
                                          .epsilon = config.epsilon,
                                          .mean = mean,
                                          .rstd = rstd}),
               run.stream, "norm");
}

// scratch_.hidden = the rows that enter a layer after a norm.
void EncoderPass::make_input(const GroupRun& run, size_t layer) const {
  const ModelConfig& config = weights_.config();
  const View hidden = run.rows(scratch_.hidden);
  if (layer > 0) {
    const LayerSpec& spec = config.layers[layer - 1];
    const View sum = run.rows(layer_of(run.kept, layer - 1).mlp_sum);
    const NormWeights& weights = weights_.layers()[layer - 1].weights.mlp_norm;
    check_status(backend_.norm(run.stream, {.kind = spec.norm,
                                            .x = sum.floats(),
                                            .x_stride = sum.stride,
                                            .y = hidden.data,
                                            .y_stride = hidden.stride,
                                            .rows = run.tokens(),
                                            .width = config.hidden,
                                            .weight = weights.weight.data(),
                                            .bias = weights.bias.data(),
                                            .epsilon = spec.epsilon}),
                 run.stream, "norm");
    return;
  }
  const View embedded = run.rows(run.kept.embedded);
  if (config.embedding_norm)
    norm(run, weights_.embedding_norm(), embedded, hidden, run.kept.embedding_mean + run.row(),
         run.kept.embedding_rstd + run.row());
  else
    check_status(backend_.fuse(run.stream, {.x = embedded.floats(),
                                            .x_stride = embedded.stride,
                                            .y = hidden.floats(),
                                            .y_stride = hidden.stride,
                                            .rows = run.tokens(),
                                            .width = config.hidden,
                                            .first = true}),
                 run.stream, "fuse");
  if (!run.dropped() || config.embedding_dropout == 0) return;
  check_status(backend_.dropout(run.stream, {.x = hidden.data,
                                             .x_stride = hidden.stride,
                                             .y = hidden.data,
                                             .y_stride = hidden.stride,
                                             .rows = run.tokens(),
                                             .width = config.hidden,
                                             .dropout = run.dropout.at(config.embedding_dropout, kEmbeddingSite)}),
               run.stream, "dropout");
}

void EncoderPass::fuse_state(const GroupRun& run, int64_t state, const View& rows) const {
  const ForwardPlan& plan = plan_.forward;
  if (plan.only_last) return;
  const View fused = run.rows(fused_);
  for (size_t i = 0; i < plan.states.size(); ++i) {
    if (plan.states[i] != state) continue;
    const int64_t column = plan.concat ? static_cast<int64_t>(i) * weights_.config().hidden : 0;
    check_status(backend_.fuse(run.stream, {.x = rows.floats(),
                                            .x_stride = rows.stride,
                                            .y = fused.floats() + column,
                                            .y_stride = fused.stride,
                                            .rows = run.tokens(),
                                            .width = weights_.config().hidden,
                                            .factor = plan.factors[i],
                                            .first = plan.concat || i == 0}),
                 run.stream, "fuse");
  }
}

void EncoderPass::pool(const GroupRun& run, const View& rows, const View& pooled) const {
  const View to = run.text_rows(pooled);
  for (size_t i = 0; i < plan_.pooling.size(); ++i)
    check_status(backend_.pool(run.stream, {.mode = plan_.pooling[i],
                                            .x = rows.floats(),
                                            .x_stride = rows.stride,
                                            .y = to.floats() + static_cast<int64_t>(i) * width_,
                                            .y_stride = to.stride,
                                            .offsets = run.group.batch.offsets,
                                            .skip = run.group.batch.skip,
                                            .texts = run.group.batch.texts,
                                            .width = width_}),
                 run.stream, "pool");
  if (!run.kept.tokens.data) return;
  const View kept = run.rows(run.kept.tokens);
  check_status(backend_.fuse(run.stream, {.x = rows.floats(),
                                          .x_stride = rows.stride,
                                          .y = kept.floats(),
                                          .y_stride = kept.stride,
                                          .rows = run.tokens(),
                                          .width = width_,
                                          .first = true}),
               run.stream, "fuse");
}

}  // namespace embedcore
