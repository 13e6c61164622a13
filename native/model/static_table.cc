#include "model/static_table.h"

#include <cstring>

#include "base/error.h"

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

StaticLayout StaticLayout::of(const WeightFiles& files, const std::string& directory) {
  StaticLayout layout;
  layout.table = files.find("embedding.weight") ? "embedding.weight" : "embeddings";
  const TensorView* table = files.find(layout.table);
  if (!table)
    fail(Code::kMissingTensor, "%s: neither \"embedding.weight\" nor \"embeddings\" is among the tensors",
         directory.c_str());
  if (table->shape.size() != 2 || table->shape[0] < 1 || table->shape[1] < 1)
    fail(Code::kShapeMismatch,
         "tensor \"%s\" must be a matrix [vocabulary, dimensions] with at least one row and column",
         layout.table.c_str());
  layout.rows = layout.vocab = table->shape[0];
  layout.width = table->shape[1];
  layout.scales = files.find("scales") != nullptr;
  layout.weights = files.find("weights") != nullptr;
  if (const TensorView* mapping = files.find("mapping")) {
    layout.mapping = read_mapping(*mapping, layout.rows);
    layout.vocab = mapping->shape[0];
  }
  const DType dtypes[] = {DType::kI8, DType::kF64, DType::kF32, DType::kF16, DType::kBF16};
  for (const DType dtype : dtypes)
    if (table->dtype == dtype) return layout;
  fail(Code::kShapeMismatch, "Expected float32, float16, bfloat16 or int8 for tensor \"%s\" but found %s",
       layout.table.c_str(), dtype_name(table->dtype));
}

ModelConfig trained_static_config(const std::string& directory) {
  const auto files = WeightFiles::open(directory);
  const StaticLayout layout = StaticLayout::of(*files, directory);
  if (files->find(layout.table)->dtype == DType::kI8 && !layout.scales)
    fail(Code::kUnsupportedModel,
         "Expected a tensor \"scales\" beside the int8 rows of \"%s\" in %s but found none: without it the size of the "
         "rows is not known, and a learning rate has no meaning",
         layout.table.c_str(), directory.c_str());
  ModelConfig config;
  config.family = "static";
  config.hidden = layout.width;
  config.vocab = layout.vocab;
  config.input.tables = {{.name = "embedding.weight", .rows = layout.vocab, .index = TableSpec::Index::kToken}};
  config.names.prefixes = {""};
  return config;
}

StaticRows::StaticRows(const TensorReader& reader, const StaticLayout& layout)
    : layout_(layout), table_(reader.find(layout.table)) {
  if (table_.dtype != DType::kI8) check_finite(table_);
  if (layout.scales) scales_ = reader.floats("scales", {layout.rows});
  if (layout.weights) weights_ = reader.floats("weights", {layout.vocab});
}

void StaticRows::read(int64_t first, int64_t count, float* to) const {
  const auto width = static_cast<size_t>(layout_.width), size = dtype_size(table_.dtype);
  for (int64_t id = first; id < first + count; ++id, to += width) {
    const int64_t row = layout_.mapping.empty() ? id : layout_.mapping[static_cast<size_t>(id)];
    const std::byte* from = table_.data + static_cast<size_t>(row) * width * size;
    if (table_.dtype == DType::kI8)
      for (size_t d = 0; d < width; ++d) to[d] = static_cast<float>(static_cast<int8_t>(from[d]));
    else
      to_float32(from, table_.dtype, to, width);
    float factor = scales_.empty() ? 1.0f : scales_[static_cast<size_t>(row)];
    if (!weights_.empty()) factor *= weights_[static_cast<size_t>(id)];
    for (size_t d = 0; d < width && factor != 1.0f; ++d) to[d] *= factor;
  }
}

}  // namespace embedcore
