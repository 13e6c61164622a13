#include "model/model.h"

#include <algorithm>

#include "base/error.h"
#include "ops/vectors.h"

namespace embedcore {

std::shared_ptr<const Model> Model::load(const ModelSource& source, DevicePointer device,
                                         const KeepLoading& keep_loading) {
  auto model = std::make_shared<Model>();
  if (source.is_static) {
    const auto encoder = StaticEncoder::load(source.directory, device, keep_loading);
    model->static_ = encoder.get();
    model->encoder_ = encoder;
  } else {
    const auto encoder =
        TransformerEncoder::load(source.directory, device, source.dtype, source.layer_weighting, keep_loading);
    model->transformer_ = encoder.get();
    model->encoder_ = encoder;
  }
  model->head_ = Head(source.head, device, keep_loading);
  return model;
}

EncodePlan Model::plan(const PlanOptions& options) const {
  EncodePlan plan;
  plan.forward = encoder_->plan(options);
  plan.token_output = options.token_output;
  plan.pooling = options.pooling;
  if (plan.pooling.empty()) plan.pooling = {Pooling::kMean};
  const int64_t width = encoder_->width(plan.forward);
  const bool pools_here = !options.token_output && !encoder_->pools_itself();
  plan.pooled = pools_here ? width * static_cast<int64_t>(plan.pooling.size()) : width;
  const bool with_head = !options.token_output;
  const int64_t full = with_head ? head_.out_width(plan.pooled) : plan.pooled;
  if (options.dimensions < 0 || options.dimensions > full)
    fail(Code::kInvalidOption, "dimensions is %lld; this model and these options give %lld",
         static_cast<long long>(options.dimensions), static_cast<long long>(full));
  plan.dimension = options.dimensions > 0 ? options.dimensions : full;
  plan.apply_normalize = options.normalize.value_or(true);
  const bool normalized_by_head = with_head && plan.apply_normalize && head_.normalizes();
  plan.normalize_last = options.normalize.value_or(normalized_by_head && plan.dimension < full);
  return plan;
}

ResultRows Model::run(const EncodePlan& plan, BatchBuilder& builder, Workspace& workspace, Stream& stream,
                      const TokenEncoder::BetweenLayers& between_layers) const {
  const int64_t texts = builder.texts(), tokens = builder.tokens();
  const bool pools_here = !plan.token_output && !encoder_->pools_itself();
  const int64_t widest = head_.widest(plan.pooled);
  View buffers[2];
  const auto place_rows = [&](Layout& layout) {
    if (plan.token_output) return;
    for (View& buffer : buffers) buffer = layout.rows(texts, widest);
  };
  Layout layout = workspace.fit(encoder_->device(), [&](Layout& measure) {
    builder.place(measure, backend());
    place_rows(measure);
    encoder_->place(measure, plan, texts, tokens);
  });

  const Batch batch = builder.upload(layout, *encoder_, stream);
  place_rows(layout);
  View rows = encoder_->forward(layout, plan, batch, stream, between_layers);
  if (!rows.data) return {};
  if (pools_here) {
    const int64_t width = encoder_->width(plan.forward);
    for (size_t i = 0; i < plan.pooling.size(); ++i)
      check_status(backend().pool(stream, {.mode = plan.pooling[i],
                                           .x = rows.floats(),
                                           .x_stride = rows.stride,
                                           .y = buffers[0].floats() + static_cast<int64_t>(i) * width,
                                           .y_stride = buffers[0].stride,
                                           .offsets = batch.offsets,
                                           .skip = batch.skip,
                                           .texts = texts,
                                           .width = width}),
                   stream, "pool");
    rows = buffers[0];
  }
  if (!plan.token_output) rows = head_.apply(stream, rows, buffers, texts, plan.pooled, plan.apply_normalize);
  const int64_t count = plan.token_output ? tokens : texts;
  if (plan.normalize_last)
    check_status(backend().normalize(
                     stream, {.x = rows.floats(), .stride = rows.stride, .rows = count, .width = plan.dimension}),
                 stream, "normalize");
  return {.data = rows.floats(), .stride = rows.stride, .rows = count};
}

}  // namespace embedcore
