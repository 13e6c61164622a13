#include "model/static_encoder.h"

#include <cstring>

#include "base/error.h"
#include "ops/embed.h"

namespace embedcore {

namespace {

std::vector<int32_t> read_mapping(const TensorView& mapping, int64_t rows) {
  if (mapping.shape.size() != 1 || (mapping.dtype != DType::kI64 && mapping.dtype != DType::kI32))
    fail(Code::kShapeMismatch, "tensor \"mapping\" must be a vector of int32 or int64");
  std::vector<int32_t> to(static_cast<size_t>(mapping.shape[0]));
  for (size_t i = 0; i < to.size(); ++i) {
    int64_t row = 0;
    if (mapping.dtype == DType::kI64) {
      std::memcpy(&row, mapping.data + i * 8, 8);
    } else {
      int32_t narrow = 0;
      std::memcpy(&narrow, mapping.data + i * 4, 4);
      row = narrow;
    }
    if (row < 0 || row >= rows)
      fail(Code::kInvalidFile, "tensor \"mapping\" sends token %zu to row %lld of %lld", i, static_cast<long long>(row),
           static_cast<long long>(rows));
    to[i] = static_cast<int32_t>(row);
  }
  return to;
}

}  // namespace

std::shared_ptr<const StaticEncoder> StaticEncoder::load(const std::string& directory, DevicePointer device,
                                                         const KeepLoading& keep_loading) {
  constexpr DType kAsTheyAre[] = {DType::kF32, DType::kF16, DType::kBF16, DType::kI8};
  std::shared_ptr<StaticEncoder> encoder(new StaticEncoder(device));
  const auto files = WeightFiles::open(directory);
  const char* name = files->find("embedding.weight") ? "embedding.weight" : "embeddings";
  if (!files->find(name))
    fail(Code::kMissingTensor, "%s: neither \"embedding.weight\" nor \"embeddings\" is among the tensors",
         directory.c_str());
  const TensorReader reader(device, files, directory, {""}, name, keep_loading);
  const TensorView& table = reader.find(name);
  if (table.shape.size() != 2 || table.shape[0] < 1 || table.shape[1] < 1)
    fail(Code::kShapeMismatch,
         "tensor \"%s\" must be a matrix [vocabulary, dimensions] with at least one row and column", name);
  encoder->rows_ = encoder->vocab_ = table.shape[0];
  encoder->width_ = table.shape[1];
  // Without scales, int8 rows are used as whole numbers: model2vec does not store its factor, which is the same for all
  // rows and does not change the direction.
  if (reader.find_optional("scales")) encoder->scales_ = reader.vector("scales", encoder->rows_);
  if (const TensorView* mapping = reader.find_optional("mapping")) {
    encoder->mapping_ = read_mapping(*mapping, encoder->rows_);
    encoder->vocab_ = mapping->shape[0];
  }
  if (reader.find_optional("weights")) encoder->weights_ = reader.vector("weights", encoder->vocab_);

  if (table.dtype != DType::kI8 && table.dtype != DType::kF64 && table.dtype != DType::kF32 &&
      table.dtype != DType::kF16 && table.dtype != DType::kBF16)
    fail(Code::kShapeMismatch, "Expected float32, float16, bfloat16 or int8 for tensor \"%s\" but found %s", name,
         dtype_name(table.dtype));
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
