// ops/embed.h
#include "ops/embed.h"

#include <cstddef>
#include <cstring>

#include "ops/checks.h"
#include "reference/ops.h"

namespace embedcore::reference {
namespace {

// Element i of a table, in one of the dtypes that embed and bag accept.
double table_element(const void* table, DType dtype, int64_t i) {
  const auto* bytes = static_cast<const std::byte*>(table) + i * static_cast<int64_t>(dtype_size(dtype));
  if (dtype == DType::kI8) {
    int8_t value;
    std::memcpy(&value, bytes, sizeof value);
    return value;
  }
  float value;
  to_float32(bytes, dtype, &value, 1);
  return value;
}

}  // namespace

Status embed(Stream& stream, const EmbedArgs& args) {
  if (!can_run(stream, args)) return kBadArgument;
  for (int64_t t = 0; t < args.tokens; ++t) {
    for (int64_t d = 0; d < args.width; ++d) {
      double sum = 0;
      for (int32_t i = 0; i < args.count; ++i) {
        const EmbedTable& table = args.tables[i];
        sum += table_element(table.rows, table.dtype, (table.ids ? table.ids[t] : 0) * args.width + d);
      }
      args.y[t * args.y_stride + d] = static_cast<float>(sum);
    }
  }
  return kOk;
}

Status bag(Stream& stream, const BagArgs& args) {
  if (!can_run(stream, args)) return kBadArgument;
  for (int64_t text = 0; text < args.texts; ++text) {
    const int64_t begin = args.offsets ? args.offsets[text] : text,
                  end = args.offsets ? args.offsets[text + 1] : text + 1;
    for (int64_t d = 0; d < args.width; ++d) {
      double sum = 0;
      for (int64_t t = begin; t < end; ++t) {
        const int64_t row = args.rows[t];
        double value = table_element(args.table, args.dtype, row * args.width + d);
        if (args.scales) value *= args.scales[row];
        if (args.weights) value *= args.weights[args.ids[t]];
        sum += value;
      }
      args.y[text * args.y_stride + d] =
          end > begin ? static_cast<float>(sum / static_cast<double>(end - begin)) : 0.0f;
    }
  }
  return kOk;
}

Status embed_gradient(Stream& stream, const EmbedGradientArgs& args) {
  if (!can_run(stream, args)) return kBadArgument;
  for (int64_t i = 0; i < args.distinct; ++i) {
    for (int64_t d = 0; d < args.width; ++d) {
      float& element = args.dtable[args.rows[i] * args.width + d];
      double sum = element;
      for (int64_t t = args.starts[i]; t < args.starts[i + 1]; ++t) sum += args.dy[args.tokens[t] * args.dy_stride + d];
      element = static_cast<float>(sum);
    }
  }
  return kOk;
}

}  // namespace embedcore::reference
