#include "model/static_encoder.h"

#include <cstring>

#include "base/error.h"
#include "model/weights.h"
#include "ops/embed.h"

namespace embedcore {

std::shared_ptr<const StaticEncoder> StaticEncoder::load(const std::string& directory, const Backend& backend) {
  std::shared_ptr<StaticEncoder> encoder(new StaticEncoder(backend));
  encoder->files_ = WeightFiles::open(directory);
  const TensorView* table = encoder->files_->find("embedding.weight");
  if (!table) table = encoder->files_->find("embeddings");
  if (!table)
    fail(Code::kMissingTensor, "%s: neither \"embedding.weight\" nor \"embeddings\" is among the tensors",
         directory.c_str());
  if (table->shape.size() != 2 || table->shape[0] < 1 || table->shape[1] < 1)
    fail(Code::kShapeMismatch,
         "tensor \"%s\" must be a matrix [vocabulary, dimensions] with at least one row and column",
         table->name.c_str());
  encoder->rows_ = encoder->vocab_ = table->shape[0];
  encoder->width_ = table->shape[1];
  encoder->dtype_ = table->dtype;
  encoder->table_ = table->data;
  encoder->bytes_ = table->bytes;

  const TensorReader reader(encoder->files_, directory, {""}, table->name);
  if (reader.find_optional("scales")) encoder->scales_ = reader.vector("scales", encoder->rows_);
  // Without scales the rows are the whole numbers themselves: model2vec leaves its one factor for all rows out, as the
  // direction does not need it.

  const TensorView* mapping = reader.find_optional("mapping");
  const TensorView* weights = reader.find_optional("weights");
  if (mapping) {
    if (mapping->shape.size() != 1 || (mapping->dtype != DType::kI64 && mapping->dtype != DType::kI32))
      fail(Code::kShapeMismatch, "tensor \"mapping\" must be a vector of int32 or int64");
    encoder->vocab_ = mapping->shape[0];
    for (int64_t i = 0; i < encoder->vocab_; ++i) {
      int64_t row = 0;
      if (mapping->dtype == DType::kI64) {
        std::memcpy(&row, mapping->data + i * 8, 8);
      } else {
        int32_t narrow = 0;
        std::memcpy(&narrow, mapping->data + i * 4, 4);
        row = narrow;
      }
      if (row < 0 || row >= encoder->rows_)
        fail(Code::kInvalidFile, "tensor \"mapping\" sends token %lld to row %lld of %lld", static_cast<long long>(i),
             static_cast<long long>(row), static_cast<long long>(encoder->rows_));
      encoder->mapping_.push_back(static_cast<int32_t>(row));
    }
  }
  if (weights) encoder->weights_ = reader.vector("weights", encoder->vocab_);

  const bool as_it_is = table->dtype == DType::kI8 || table->dtype == DType::kF16 || table->dtype == DType::kBF16 ||
                        table->dtype == DType::kF32;
  if (!as_it_is && table->dtype != DType::kF64)
    fail(Code::kShapeMismatch, "tensor \"%s\" is %s; expected float32, float16, bfloat16 or int8", table->name.c_str(),
         dtype_name(table->dtype));
  const bool aligned = reinterpret_cast<uintptr_t>(table->data) % dtype_size(table->dtype) == 0;
  if (table->dtype != DType::kI8) {
    std::vector<float> values(static_cast<size_t>(table->elements()));
    to_float32(table->data, table->dtype, values.data(), values.size());
    check_finite(values, table->name);
    if (!as_it_is || !aligned) {
      encoder->converted_ = std::move(values);
      encoder->table_ = encoder->converted_.data();
      encoder->dtype_ = DType::kF32;
      encoder->bytes_ = encoder->converted_.size() * sizeof(float);
    }
  }
  return encoder;
}

void StaticEncoder::forward(const Group& group, Workspace& workspace, Stream& stream, float* out,
                            int64_t out_stride) const {
  const int32_t* rows = group.ids;
  if (!mapping_.empty()) {
    auto* mapped = reinterpret_cast<int32_t*>(workspace.cut(group.tokens()));
    for (int64_t t = 0; t < group.tokens(); ++t) mapped[t] = mapping_[static_cast<size_t>(group.ids[t])];
    rows = mapped;
  }
  check_status(backend_.bag(stream, {rows, group.ids, group.offsets, group.texts, width_, table_, dtype_,
                                     scales_.empty() ? nullptr : scales_.data(),
                                     weights_.empty() ? nullptr : weights_.data(), out, out_stride}),
               stream, "bag");
}

void StaticEncoder::token_rows(const Group& group, Workspace& workspace, Stream& stream, float* out,
                               int64_t out_stride) const {
  // Each token is a text of one token.
  auto* offsets = reinterpret_cast<int32_t*>(workspace.cut(group.tokens() + 1));
  for (int64_t t = 0; t <= group.tokens(); ++t) offsets[t] = static_cast<int32_t>(t);
  forward({group.ids, offsets, group.skip, group.prefix, group.tokens(), 1}, workspace, stream, out, out_stride);
}

}  // namespace embedcore
