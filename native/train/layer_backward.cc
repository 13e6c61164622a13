#include "train/layer_backward.h"

#include "ops/activation.h"
#include "ops/fuse.h"

namespace embedcore {

namespace {

struct Rows {
  const LayerCall& call;
  const LayerSpec& spec;
  const TrainedLayer& layer;
  const LayerActivations& at;
  const LayerScratch& scratch;  // from the group's first row on
  int64_t tokens;

  void ok(Status status, const char* what) const { check_status(status, call.stream, what); }

  // y = dropout(x), or a copy.
  void drop(float rate, LayerSite site, const View& x, const View& y, int64_t width) const {
    const Dropout dropout = dropout_of(call, rate, site_of(spec, site));
    if (dropout.rate > 0)
      ok(call.backend.dropout(call.stream, {.x = x.data,
                                            .x_stride = x.stride,
                                            .y = y.data,
                                            .y_stride = y.stride,
                                            .rows = tokens,
                                            .width = width,
                                            .dtype = x.dtype,
                                            .dropout = dropout}),
         "dropout");
    else if (x.data != y.data)
      add(x, y, width, true);
  }

  void add(const View& x, const View& y, int64_t width, bool first = false) const {
    ok(call.backend.fuse(call.stream, {.x = x.floats(),
                                       .x_stride = x.stride,
                                       .y = y.floats(),
                                       .y_stride = y.stride,
                                       .rows = tokens,
                                       .width = width,
                                       .first = first}),
       "fuse");
  }

  void norm(const NormWeights& weights, const View& x, const View& y) const {
    ok(call.backend.norm(call.stream, {.kind = spec.norm,
                                       .x = x.floats(),
                                       .x_stride = x.stride,
                                       .y = y.data,
                                       .y_stride = y.stride,
                                       .rows = tokens,
                                       .width = call.hidden,
                                       .weight = weights.weight.data(),
                                       .bias = weights.bias.data(),
                                       .epsilon = spec.epsilon,
                                       .y_dtype = y.dtype}),
       "norm");
  }

  void norm_gradient(const NormWeights& weights, const View& x, const float* mean, const float* rstd, const View& dy,
                     const View& dx, bool add_dx) const {
    ok(call.backend.norm_gradient(call.stream, {.kind = spec.norm,
                                                .x = x.floats(),
                                                .x_stride = x.stride,
                                                .dy = dy.floats(),
                                                .dy_stride = dy.stride,
                                                .dx = dx.floats(),
                                                .dx_stride = dx.stride,
                                                .rows = tokens,
                                                .width = call.hidden,
                                                .weight = weights.weight.data(),
                                                .mean = mean,
                                                .rstd = rstd,
                                                .add = add_dx}),
       "norm_gradient");
  }

  void input_gradient(const Linear& weights, const std::vector<LoraPart> LayerAdapter::*parts,
                      const TrainedLinear& linear, const View& dz, const View& dx, bool add_dx) const {
    std::vector<LoraPart> lora;
    if (call.adapter) lora = call.adapter->*parts;
    for (size_t i = 0; i < lora.size(); ++i) lora[i].middle = scratch.dlora[static_cast<size_t>(linear.lora[i].number)];
    ok(call.backend.linear_input_gradient(call.stream, {.weights = weights.get(),
                                                        .dz = dz.floats(),
                                                        .dz_stride = dz.stride,
                                                        .dx = dx.floats(),
                                                        .dx_stride = dx.stride,
                                                        .rows = tokens,
                                                        .add = add_dx,
                                                        .lora = lora.empty() ? nullptr : lora.data(),
                                                        .lora_parts = static_cast<int32_t>(lora.size())}),
       "linear_input_gradient");
  }

  // dmlp_sum's rows are in dz_down. Leaves the gradient of the input of up in dx (add_dx: added).
  void feed_forward(const View& dx, bool add_dx) const {
    input_gradient(layer.weights.down, &LayerAdapter::down, layer.down, scratch.dz_down, scratch.dintermediate, false);
    drop_in_place(scratch.dintermediate);
    ok(call.backend.activation_gradient(call.stream, {.x = at.up.data,
                                                      .x_stride = at.up.stride,
                                                      .dy = scratch.dintermediate.floats(),
                                                      .dy_stride = scratch.dintermediate.stride,
                                                      .dx = scratch.dup.floats(),
                                                      .dx_stride = scratch.dup.stride,
                                                      .y = scratch.intermediate.data,
                                                      .y_stride = scratch.intermediate.stride,
                                                      .rows = tokens,
                                                      .width = spec.intermediate,
                                                      .activation = spec.activation,
                                                      .gated = spec.gated,
                                                      .dtype = at.up.dtype}),
       "activation_gradient");
    drop_in_place(scratch.intermediate);
    input_gradient(layer.weights.up, &LayerAdapter::up, layer.up, scratch.dup, dx, add_dx);
  }
  void drop_in_place(const View& rows) const {
    drop(spec.intermediate_dropout, kIntermediateSite, rows, rows, spec.intermediate);
  }

  // From dz_output, the gradient of output(context) before its dropout, to dqkv.
  void attention() const {
    input_gradient(layer.weights.output, &LayerAdapter::output, layer.output, scratch.dz_output, scratch.dcontext,
                   false);
    ok(call.backend.attention_gradient(call.stream, {.forward = attention_args(call, spec, layer.weights, at),
                                                     .dy = scratch.dcontext.floats(),
                                                     .dy_stride = scratch.dcontext.stride,
                                                     .dqkv = scratch.dqkv.floats(),
                                                     .dqkv_stride = scratch.dqkv.stride}),
       "attention_gradient");
    if (spec.qk_norm) head_norms();
  }

  void head_norms() const {
    const int64_t width = (spec.heads + spec.kv_heads) * spec.head_dim;
    if (scratch.dnormed.data) add(scratch.dqkv, scratch.dnormed, width, true);
    for (int64_t head = 0; head < spec.heads + spec.kv_heads; ++head) {
      const auto& weight = head < spec.heads ? layer.weights.q_norm : layer.weights.k_norm;
      const float* raw = at.raw.floats() + head * spec.head_dim;
      float* rstd = scratch.head_rstd + head * tokens;
      float* gradient = scratch.dqkv.floats() + head * spec.head_dim;
      ok(call.backend.norm(call.stream, {.kind = NormKind::kRms,
                                         .x = raw,
                                         .x_stride = at.raw.stride,
                                         .y = scratch.head_rows.data,
                                         .y_stride = scratch.head_rows.stride,
                                         .rows = tokens,
                                         .width = spec.head_dim,
                                         .weight = weight.data(),
                                         .epsilon = spec.epsilon,
                                         .rstd = rstd}),
         "norm");
      ok(call.backend.norm_gradient(call.stream, {.kind = NormKind::kRms,
                                                  .x = raw,
                                                  .x_stride = at.raw.stride,
                                                  .dy = gradient,
                                                  .dy_stride = scratch.dqkv.stride,
                                                  .dx = gradient,
                                                  .dx_stride = scratch.dqkv.stride,
                                                  .rows = tokens,
                                                  .width = spec.head_dim,
                                                  .weight = weight.data(),
                                                  .rstd = rstd}),
         "norm_gradient");
    }
  }

  void post_norm() const {
    norm(layer.weights.attention_norm, at.attention_sum, at.attended);
    norm_gradient(layer.weights.mlp_norm, at.mlp_sum, at.mlp_mean, at.mlp_rstd, scratch.dout, scratch.dsum, false);
    drop(spec.mlp_dropout, kMlpSite, scratch.dsum, scratch.dz_down, call.hidden);
    feed_forward(scratch.dsum, true);
    norm_gradient(layer.weights.attention_norm, at.attention_sum, at.attention_mean, at.attention_rstd, scratch.dsum,
                  scratch.dinput, false);
    drop(spec.output_dropout, kOutputSite, scratch.dinput, scratch.dz_output, call.hidden);
    attention();
    input_gradient(layer.weights.qkv, &LayerAdapter::qkv, layer.qkv, scratch.dqkv, scratch.dinput, true);
  }

  void pre_norm() const {
    if (spec.attention_norm) norm(layer.weights.attention_norm, at.input, at.attention_input);
    norm(layer.weights.mlp_norm, at.attended, at.mlp_input);
    drop(spec.mlp_dropout, kMlpSite, scratch.dout, scratch.dz_down, call.hidden);
    feed_forward(scratch.dsum, false);
    norm_gradient(layer.weights.mlp_norm, at.attended, at.mlp_mean, at.mlp_rstd, scratch.dsum, scratch.dout, true);
    drop(spec.output_dropout, kOutputSite, scratch.dout, scratch.dz_output, call.hidden);
    attention();
    if (!spec.attention_norm) {
      input_gradient(layer.weights.qkv, &LayerAdapter::qkv, layer.qkv, scratch.dqkv, scratch.dout, true);
      return;
    }
    input_gradient(layer.weights.qkv, &LayerAdapter::qkv, layer.qkv, scratch.dqkv, scratch.dinput, false);
    norm_gradient(layer.weights.attention_norm, at.input, at.attention_mean, at.attention_rstd, scratch.dinput,
                  scratch.dout, true);
  }
};

LayerScratch from_row(LayerScratch scratch, const LayerSpec& spec, const TrainedLayer& layer, int64_t row) {
  for (View* each :
       {&scratch.hidden, &scratch.attended, &scratch.attention_x, &scratch.mlp_x, &scratch.intermediate, &scratch.dout,
        &scratch.dsum, &scratch.dinput, &scratch.dz_down, &scratch.dz_output, &scratch.dup, &scratch.dintermediate,
        &scratch.dcontext, &scratch.dqkv, &scratch.dnormed, &scratch.head_rows, &scratch.lora_x})
    if (each->data) *each = each->from_row(row);
  if (scratch.head_rstd) scratch.head_rstd += (spec.heads + spec.kv_heads) * row;
  for (const TrainedLinear* linear : {&layer.qkv, &layer.output, &layer.up, &layer.down})
    for (const TrainedLora& lora : linear->lora) scratch.dlora[static_cast<size_t>(lora.number)] += row * lora.rank;
  return scratch;
}

// --- sums over rows ---

struct Weights {
  const LayerCall& call;
  const LayerSpec& spec;
  const TrainedLayer& layer;
  const KeptLayer& kept;
  const LayerScratch& scratch;
  const SlabRows& rows;
  DType dtype;

  void ok(Status status, const char* what) const { check_status(status, call.stream, what); }

  void product(const View& x, int64_t in, const float* dz, int64_t dz_stride, int64_t out, float scale, DType products,
               float* dweight, float* dbias) const {
    ok(call.backend.linear_weight_gradient(call.stream, {.x = x.data,
                                                         .x_stride = x.stride,
                                                         .x_dtype = x.dtype,
                                                         .dz = dz,
                                                         .dz_stride = dz_stride,
                                                         .rows = rows.tokens,
                                                         .in = in,
                                                         .out = out,
                                                         .dtype = products,
                                                         .scale = scale,
                                                         .dweight = dweight,
                                                         .dbias = dbias}),
       "linear_weight_gradient");
  }

  void linear(const TrainedLinear& linear, const View& x, const View& dz) const {
    if (linear.dweight || linear.dbias)
      product(x, linear.in, dz.floats(), dz.stride, linear.out, 1, dtype, linear.dweight, linear.dbias);
    for (const TrainedLora& lora : linear.lora) {
      const auto number = static_cast<size_t>(lora.number);
      const View middle{kept.lora[number], lora.rank, DType::kF32};
      product(middle, lora.rank, dz.floats() + lora.first, dz.stride, lora.count, lora.scale, dtype, lora.db, nullptr);
      product(dropped(linear, lora, x), linear.in, scratch.dlora[number], lora.rank, lora.rank, 1, dtype, lora.da,
              nullptr);
    }
  }

  // The input of a part after its dropout.
  View dropped(const TrainedLinear& linear, const TrainedLora& lora, const View& x) const {
    if (!call.dropout || lora.dropout == 0) return x;
    const View y{scratch.lora_x.data, scratch.lora_x.stride, x.dtype};
    ok(call.backend.dropout(call.stream, {.x = x.data,
                                          .x_stride = x.stride,
                                          .y = y.data,
                                          .y_stride = y.stride,
                                          .rows = rows.tokens,
                                          .width = linear.in,
                                          .dtype = x.dtype,
                                          .dropout = {.rate = lora.dropout,
                                                      .seed = call.dropout->seed,
                                                      .site = call.site + site_of(spec, kLayerSites) +
                                                              static_cast<uint32_t>(lora.number),
                                                      .rows = rows.keys}}),
       "dropout");
    return y;
  }

  void norm(const TrainedNorm& norm, const View& x, const float* mean, const float* rstd, const View& dy) const {
    if (!norm.trained()) return;
    ok(call.backend.norm_weight_gradient(call.stream, {.kind = spec.norm,
                                                       .x = x.floats(),
                                                       .x_stride = x.stride,
                                                       .dy = dy.floats(),
                                                       .dy_stride = dy.stride,
                                                       .rows = rows.tokens,
                                                       .width = call.hidden,
                                                       .mean = mean,
                                                       .rstd = rstd,
                                                       .dweight = norm.dweight,
                                                       .dbias = norm.dbias}),
       "norm_weight_gradient");
  }
};

}  // namespace

void backward_rows(const LayerCall& call, const LayerSpec& spec, const TrainedLayer& layer, const LayerActivations& at,
                   LayerScratch scratch, int64_t first_row) {
  const LayerScratch own = from_row(std::move(scratch), spec, layer, first_row);
  const Rows rows{call, spec, layer, at, own, call.batch.tokens};
  spec.norm_first ? rows.pre_norm() : rows.post_norm();
}

void backward_relative(const LayerCall& call, const LayerSpec& spec, const TrainedLayer& layer,
                       const LayerActivations& at, LayerScratch scratch, int64_t first_row,
                       const RelativeGradient& relative) {
  const LayerScratch own = from_row(std::move(scratch), spec, layer, first_row);
  check_status(
      call.backend.attention_bias_gradient(call.stream, {.forward = attention_args(call, spec, layer.weights, at),
                                                         .dy = own.dcontext.floats(),
                                                         .dy_stride = own.dcontext.stride,
                                                         .dbias = relative.dbias}),
      call.stream, "attention_bias_gradient");
}

void backward_head(const LayerCall& call, const LayerSpec& spec, const TrainedLayer& layer, const LayerActivations& at,
                   LayerScratch scratch, int64_t first_row, int64_t head) {
  float* dweight = head < spec.heads ? layer.dq_norm : layer.dk_norm;
  if (!dweight) return;
  const LayerScratch own = from_row(std::move(scratch), spec, layer, first_row);
  const int64_t tokens = call.batch.tokens;
  check_status(call.backend.norm_weight_gradient(call.stream, {.kind = NormKind::kRms,
                                                               .x = at.raw.floats() + head * spec.head_dim,
                                                               .x_stride = at.raw.stride,
                                                               .dy = own.dnormed.floats() + head * spec.head_dim,
                                                               .dy_stride = own.dnormed.stride,
                                                               .rows = tokens,
                                                               .width = spec.head_dim,
                                                               .rstd = own.head_rstd + head * tokens,
                                                               .dweight = dweight}),
               call.stream, "norm_weight_gradient");
}

void backward_weights(const LayerCall& call, const LayerSpec& spec, const TrainedLayer& layer, const KeptLayer& kept,
                      const LayerScratch& scratch, const SlabRows& slab) {
  const DType dtype = kept.qkv.dtype;
  const Weights weights{call, spec, layer, kept, scratch, slab, dtype};
  const bool normed = spec.norm_first && spec.attention_norm;
  weights.linear(layer.qkv, normed ? scratch.attention_x : slab.input, scratch.dqkv);
  weights.linear(layer.output, kept.context, scratch.dz_output);
  weights.linear(layer.up, spec.norm_first ? scratch.mlp_x : scratch.attended, scratch.dup);
  weights.linear(layer.down, scratch.intermediate, scratch.dz_down);
  const View& mlp_dy = spec.norm_first ? scratch.dsum : scratch.dout;
  const View& mlp_in = spec.norm_first ? kept.attention_sum : kept.mlp_sum;
  weights.norm(layer.mlp_norm, mlp_in, kept.mlp_mean, kept.mlp_rstd, mlp_dy);
  const View& attention_dy = spec.norm_first ? scratch.dinput : scratch.dsum;
  const View& attention_in = spec.norm_first ? slab.input : kept.attention_sum;
  if (!spec.norm_first || spec.attention_norm)
    weights.norm(layer.attention_norm, attention_in, kept.attention_mean, kept.attention_rstd, attention_dy);
}

}  // namespace embedcore
