#include "model/static_encoder.h"

#include "base/error.h"
#include "model/static_table.h"
#include "ops/embed.h"

namespace embedcore {

std::shared_ptr<const StaticEncoder> StaticEncoder::load(const std::string& directory, DevicePointer device,
                                                         const KeepLoading& keep_loading) {
  constexpr DType kAsTheyAre[] = {DType::kF32, DType::kF16, DType::kBF16, DType::kI8};
  std::shared_ptr<StaticEncoder> encoder(new StaticEncoder(device));
  const auto files = WeightFiles::open(directory);
  const StaticLayout layout = StaticLayout::of(*files, directory);
  const TensorReader reader(device, files, directory, {""}, layout.table, keep_loading);
  const TensorView& table = reader.find(layout.table);
  encoder->rows_ = layout.rows;
  encoder->vocab_ = layout.vocab;
  encoder->width_ = layout.width;
  encoder->mapping_ = layout.mapping;
  // Without scales, int8 rows are used as whole numbers: model2vec does not store its factor, which is the same for all
  // rows and does not change the direction.
  if (layout.scales) encoder->scales_ = reader.vector("scales", layout.rows);
  if (layout.weights) encoder->weights_ = reader.vector("weights", layout.vocab);
  if (table.dtype != DType::kI8) check_finite(table);
  encoder->table_ = reader.table_of(table, kAsTheyAre);
  encoder->file_dtype_ = dtype_name(encoder->table_.dtype());
  reader.release_pages();
  reader.check_intact();
  return encoder;
}

ForwardPlan StaticEncoder::plan(const PlanOptions& options) const {
  if (!options.states.empty() || !options.attention.empty())
    fail(Code::kInvalidOption, "layers and attention do not apply to a static model");
  for (const Pooling mode : options.pooling)
    if (mode != Pooling::kMean) fail(Code::kInvalidOption, "a static model is pooled by mean alone");
  return {};
}

void StaticEncoder::write_indices(std::span<const int32_t> ids, int32_t* indices) const {
  for (size_t t = 0; t < ids.size(); ++t)
    indices[t] = mapping_.empty() ? ids[t] : mapping_[static_cast<size_t>(ids[t])];
}

void StaticEncoder::place(Layout& layout, const EncodePlan& plan, int64_t texts, int64_t tokens) const {
  place_rows(layout, plan, texts, tokens);
}

View StaticEncoder::forward(Layout& layout, const EncodePlan& plan, const Batch& batch, Stream& stream,
                            const BetweenLayers& between_layers) const {
  const View rows = place_rows(layout, plan, batch.texts, batch.tokens);
  if (!between_layers()) return {};
  // For token output each token is treated as a text.
  check_status(device_->backend().bag(stream, {.rows = batch.indices,
                                               .ids = batch.ids,
                                               .offsets = plan.token_output ? nullptr : batch.offsets,
                                               .texts = plan.token_output ? batch.tokens : batch.texts,
                                               .width = width_,
                                               .table = table_.data(),
                                               .dtype = table_.dtype(),
                                               .scales = scales_.data(),
                                               .weights = weights_.data(),
                                               .y = rows.floats(),
                                               .y_stride = rows.stride}),
               stream, "bag");
  return rows;
}

}  // namespace embedcore
