#include "model/model.h"

#include <algorithm>
#include <atomic>
#include <vector>

#include "base/error.h"
#include "model/adapter_weights.h"
#include "model/replay.h"
#include "ops/vectors.h"

namespace embedcore {

namespace {

// All that the operations of a batch depend on, besides what a model keeps as it is.
std::vector<uint64_t> replay_key(const TokenEncoder& encoder, const EncodePlan& plan, const Batch& batch) {
  std::vector<uint64_t> key = {plan.number.value, static_cast<uint64_t>(batch.texts),
                               static_cast<uint64_t>(batch.tokens), static_cast<uint64_t>(batch.longest),
                               reinterpret_cast<uintptr_t>(batch.ids)};  // at the workspace's begin
  if (batch.adapter) key.push_back(batch.adapter->number());
  for (const int32_t word : batch.host_plan) key.push_back(static_cast<uint64_t>(word));
  encoder.add_to_replay_key(batch, key);
  return key;
}

}  // namespace

std::shared_ptr<const Model> Model::load(const ModelSource& source, DevicePointer device,
                                         const KeepLoading& keep_loading) {
  auto model = std::make_shared<Model>();
  if (source.is_static) {
    const auto encoder = StaticEncoder::load(source.directory, device, keep_loading);
    model->static_ = encoder.get();
    model->encoder_ = encoder;
  } else {
    const auto encoder = TransformerEncoder::load(source.directory, device, source.dtype, source.layer_weighting,
                                                  source.adapter, keep_loading);
    model->transformer_ = encoder.get();
    model->encoder_ = encoder;
  }
  model->head_ = Head(source.head, device, keep_loading);
  return model;
}

EncodePlan Model::plan(const PlanOptions& options) const {
  static std::atomic<uint64_t> plans{0};
  EncodePlan plan;
  plan.number.value = ++plans;
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

  const std::shared_ptr<const AdapterWeights> adapter = plan.adapter ? plan.adapter->hold() : nullptr;
  Batch batch = builder.upload(layout, *encoder_, stream);
  batch.adapter = adapter.get();
  batch.keep(adapter);
  place_rows(layout);
  if (!backend().begin_replay || tokens > kMostReplayTokens || plan.number.value == 0)
    return launch(plan, batch, layout, buffers, stream, between_layers);
  Replay replay(backend(), stream, replay_key(*encoder_, plan, batch));
  if (const ReplayNote* note = replay.replayed())
    return {.data = reinterpret_cast<const float*>(static_cast<uintptr_t>(note->words[0])),
            .stride = static_cast<int64_t>(note->words[1]),
            .rows = static_cast<int64_t>(note->words[2])};
  const ResultRows rows = launch(plan, batch, layout, buffers, stream, between_layers);
  if (rows.data)
    replay.complete({{reinterpret_cast<uintptr_t>(rows.data), static_cast<uint64_t>(rows.stride),
                      static_cast<uint64_t>(rows.rows)}});
  return rows;
}

ResultRows Model::launch(const EncodePlan& plan, const Batch& batch, Layout& layout, const View (&buffers)[2],
                         Stream& stream, const TokenEncoder::BetweenLayers& between_layers) const {
  const bool pools_here = !plan.token_output && !encoder_->pools_itself();
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
                                           .texts = batch.texts,
                                           .width = width}),
                   stream, "pool");
    rows = buffers[0];
  }
  if (!plan.token_output) rows = head_.apply(stream, rows, buffers, batch.texts, plan.pooled, plan.apply_normalize);
  const int64_t count = plan.token_output ? batch.tokens : batch.texts;
  if (plan.normalize_last)
    check_status(backend().normalize(
                     stream, {.x = rows.floats(), .stride = rows.stride, .rows = count, .width = plan.dimension}),
                 stream, "normalize");
  return {.data = rows.floats(), .stride = rows.stride, .rows = count};
}

}  // namespace embedcore
