// The backward half of encoder_pass.h.
#include <utility>
#include <vector>

#include "ops/fuse.h"
#include "train/encoder_pass.h"
#include "train/encoder_run.h"
#include "train/groups.h"

namespace embedcore {

void EncoderPass::backward(Stream& stream, Slab& slab, KeptSlab& kept, const View& dpooled) {
  if (!has_backward()) return;
  fit_scratch(stream, slab, kept);
  const auto each_group = [&](auto&& body) {
    for_groups(stream, slab, [&](Stream& own, Group& group) {
      body(GroupRun{own, slab, group, kept, {seed_, slab.device_keys + group.first_row}});
    });
  };
  each_group([&](const GroupRun& run) { begin_backward(run, dpooled); });
  if (has_final_norm())
    add_norm_gradients(stream, slab, weights_.final_norm_gradients(), layer_of(kept, layers() - 1).mlp_sum,
                       kept.final_mean, kept.final_rstd, scratch_.dinput);
  for (size_t layer = layers(); layer-- > weights_.first_trained_layer();) {
    each_group([&](const GroupRun& run) { backward_layer(run, layer); });
    add_layer_gradients(stream, slab, kept, layer);
    // A post-norm layer leaves the gradient of its input in dinput.
    if (!weights_.config().layers[layer].norm_first) std::swap(scratch_.dout, scratch_.dinput);
    each_group([&](const GroupRun& run) {
      add_state_gradient(run, static_cast<int64_t>(layer), run.rows(scratch_.dout), false);
    });
  }
  if (!weights_.trains_embeddings()) return;
  each_group([&](const GroupRun& run) { backward_embedding(run); });
  const bool normed = weights_.config().embedding_norm;
  if (normed)
    add_norm_gradients(stream, slab, weights_.embedding_norm_gradients(), kept.embedded, kept.embedding_mean,
                       kept.embedding_rstd, scratch_.dout);
  add_table_gradients(stream, slab, normed ? scratch_.dsum : scratch_.dout);
}

// From the pooled rows to the gradient of the last layer's output.
void EncoderPass::begin_backward(const GroupRun& run, const View& dpooled) const {
  unpool(run, dpooled);
  const View dout = run.rows(scratch_.dout), dstate = has_final_norm() ? run.rows(scratch_.dinput) : dout;
  add_state_gradient(run, static_cast<int64_t>(layers()), dstate, true);
  if (!has_final_norm()) return;
  const ModelConfig& config = weights_.config();
  const View sum = run.rows(layer_of(run.kept, layers() - 1).mlp_sum);
  check_status(backend_.norm_gradient(run.stream, {.kind = config.norm,
                                                   .x = sum.floats(),
                                                   .x_stride = sum.stride,
                                                   .dy = dstate.floats(),
                                                   .dy_stride = dstate.stride,
                                                   .dx = dout.floats(),
                                                   .dx_stride = dout.stride,
                                                   .rows = run.tokens(),
                                                   .width = config.hidden,
                                                   .weight = weights_.final_norm().weight.data(),
                                                   .mean = run.kept.final_mean + run.row(),
                                                   .rstd = run.kept.final_rstd + run.row()}),
               run.stream, "norm_gradient");
}

// dfused_ = the gradient of the rows that were pooled.
void EncoderPass::unpool(const GroupRun& run, const View& dpooled) const {
  const View from = run.text_rows(dpooled), to = run.rows(dfused_), tokens = run.rows(run.kept.tokens);
  for (size_t i = 0; i < plan_.pooling.size(); ++i)
    check_status(backend_.pool_gradient(run.stream, {.mode = plan_.pooling[i],
                                                     .x = tokens.floats(),
                                                     .x_stride = tokens.stride,
                                                     .dy = from.floats() + static_cast<int64_t>(i) * width_,
                                                     .dy_stride = from.stride,
                                                     .dx = to.floats(),
                                                     .dx_stride = to.stride,
                                                     .offsets = run.group.batch.offsets,
                                                     .skip = run.group.batch.skip,
                                                     .texts = run.group.batch.texts,
                                                     .width = width_,
                                                     .add = i > 0}),
                 run.stream, "pool_gradient");
}

// to += the gradient of a hidden state; first: to = it.
void EncoderPass::add_state_gradient(const GroupRun& run, int64_t state, const View& to, bool first) const {
  const ForwardPlan& plan = plan_.forward;
  const View from = run.rows(dfused_);
  for (size_t i = 0; i < plan.states.size(); ++i) {
    if (plan.states[i] != state) continue;
    const int64_t column = plan.concat ? static_cast<int64_t>(i) * weights_.config().hidden : 0;
    check_status(backend_.fuse(run.stream, {.x = from.floats() + column,
                                            .x_stride = from.stride,
                                            .y = to.floats(),
                                            .y_stride = to.stride,
                                            .rows = run.tokens(),
                                            .width = weights_.config().hidden,
                                            .factor = plan.factors[i],
                                            .first = std::exchange(first, false)}),
                 run.stream, "fuse");
  }
}

void EncoderPass::backward_layer(const GroupRun& run, size_t layer) const {
  if (layer == 0 || !weights_.config().layers[layer].norm_first) make_input(run, layer);
  with_layer(
      run, layer,
      [&](const LayerCall& call, const LayerSpec& spec, const TrainedLayer& trained, const LayerActivations& at) {
        if (!run.kept.keeping.all_of(layer)) {
          LayerActivations again = at;
          again.mlp_sum = View{};
          layer_forward(call, spec, trained.weights, again);
        }
        backward_rows(call, spec, trained, at, scratch_, run.row());
      });
}

void EncoderPass::add_layer_gradients(Stream& stream, Slab& slab, const KeptSlab& kept, size_t layer) const {
  const TrainedLayer& trained = weights_.layers()[layer];
  if (!trained.trained() && !relative_gradient_) return;
  const auto each_group = [&](auto&& body) {
    for (Group& group : slab.groups) {
      const GroupRun run{stream, slab, group, kept, {seed_, slab.device_keys + group.first_row}};
      with_layer(run, layer,
                 [&](const LayerCall& call, const LayerSpec& spec, const TrainedLayer& own,
                     const LayerActivations& at) { body(call, spec, own, at, group.first_row); });
    }
  };
  if (relative_gradient_)
    each_group([&](const LayerCall& call, const LayerSpec& spec, const TrainedLayer& own, const LayerActivations& at,
                   int64_t row) {
      backward_relative(call, spec, own, at, scratch_, row, {.dbias = static_cast<float*>(relative_gradient_.get())});
    });
  const LayerSpec& layer_spec = weights_.config().layers[layer];
  if (trained.dq_norm || trained.dk_norm)
    for (int64_t head = 0; head < layer_spec.heads + layer_spec.kv_heads; ++head)
      each_group([&](const LayerCall& call, const LayerSpec& spec, const TrainedLayer& own, const LayerActivations& at,
                     int64_t row) { backward_head(call, spec, own, at, scratch_, row, head); });
  const GroupRun all{stream, slab, slab.groups.front(), kept, {seed_, slab.device_keys}};
  with_layer(all, layer,
             [&](const LayerCall& call, const LayerSpec& spec, const TrainedLayer& own, const LayerActivations&) {
               backward_weights(call, spec, own, layer_of(kept, layer), scratch_,
                                {.input = layer_input(kept, layer), .tokens = slab.tokens, .keys = slab.device_keys});
             });
}

void EncoderPass::backward_embedding(const GroupRun& run) const {
  const ModelConfig& config = weights_.config();
  const View dout = run.rows(scratch_.dout), dsum = run.rows(scratch_.dsum), x = run.rows(run.kept.embedded);
  if (run.dropped() && config.embedding_dropout > 0)
    check_status(backend_.dropout(run.stream, {.x = dout.data,
                                               .x_stride = dout.stride,
                                               .y = dout.data,
                                               .y_stride = dout.stride,
                                               .rows = run.tokens(),
                                               .width = config.hidden,
                                               .dropout = run.dropout.at(config.embedding_dropout, kEmbeddingSite)}),
                 run.stream, "dropout");
  if (!config.embedding_norm) return;
  check_status(backend_.norm_gradient(run.stream, {.kind = config.norm,
                                                   .x = x.floats(),
                                                   .x_stride = x.stride,
                                                   .dy = dout.floats(),
                                                   .dy_stride = dout.stride,
                                                   .dx = dsum.floats(),
                                                   .dx_stride = dsum.stride,
                                                   .rows = run.tokens(),
                                                   .width = config.hidden,
                                                   .weight = weights_.embedding_norm().weight.data(),
                                                   .mean = run.kept.embedding_mean + run.row(),
                                                   .rstd = run.kept.embedding_rstd + run.row()}),
               run.stream, "norm_gradient");
}

void EncoderPass::add_norm_gradients(Stream& stream, const Slab& slab, const TrainedNorm& norm, const View& x,
                                     const float* mean, const float* rstd, const View& dy) const {
  if (!norm.trained()) return;
  const ModelConfig& config = weights_.config();
  check_status(backend_.norm_weight_gradient(stream, {.kind = config.norm,
                                                      .x = x.floats(),
                                                      .x_stride = x.stride,
                                                      .dy = dy.floats(),
                                                      .dy_stride = dy.stride,
                                                      .rows = slab.tokens,
                                                      .width = config.hidden,
                                                      .mean = mean,
                                                      .rstd = rstd,
                                                      .dweight = norm.dweight,
                                                      .dbias = norm.dbias}),
               stream, "norm_weight_gradient");
}

void EncoderPass::add_table_gradients(Stream& stream, const Slab& slab, const View& dy) const {
  for (size_t i = 0; i < slab.tables.size(); ++i) {
    float* dtable = weights_.table_gradients()[i];
    if (!dtable) continue;
    const TableRows& table = slab.tables[i];
    if (table.rows.empty()) continue;
    check_status(backend_.embed_gradient(stream, {.rows = table.device_rows,
                                                  .starts = table.device_starts,
                                                  .tokens = table.device_tokens,
                                                  .distinct = static_cast<int64_t>(table.rows.size()),
                                                  .width = weights_.config().hidden,
                                                  .dy = dy.floats(),
                                                  .dy_stride = dy.stride,
                                                  .dtable = dtable}),
                 stream, "embed_gradient");
  }
}

void EncoderPass::finish_gradients(Stream& stream) {
  if (!relative_gradient_) return;
  const ModelConfig& config = weights_.config();
  std::vector<float> values(relative_->bias.size()), table(static_cast<size_t>(config.relative_buckets * config.heads));
  const auto wait = [&] { check_status(backend_.wait(stream), stream, "waiting for the device"); };
  check_status(backend_.download(stream, values.data(), relative_gradient_.get(), values.size() * sizeof(float)),
               stream, "a download");
  check_status(backend_.download(stream, table.data(), weights_.relative_bias_gradient(), table.size() * sizeof(float)),
               stream, "a download");
  wait();
  weights_.relative_bias()->add_gradient(values.data(), relative_->reach, table.data());
  check_status(backend_.upload(stream, weights_.relative_bias_gradient(), table.data(), table.size() * sizeof(float)),
               stream, "an upload");
  wait();
}

}  // namespace embedcore
