// ops/embed.h
#include "ops/embed.h"

#include <algorithm>
#include <bit>

#include "cpu/backend.h"
#include "cpu/simd.h"
#include "ops/checks.h"

namespace embedcore::cpu::EMBEDCORE_ISA {
namespace {

constexpr int64_t kTokensPerTask = 128;

template <typename Element>
float to_float(Element value) {
  return static_cast<float>(value);
}
struct Bfloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};
template <>
float to_float(Bfloat16 value) {
  return std::bit_cast<float>(static_cast<uint32_t>(value.bits) << 16);
}
template <>
float to_float(Float16 value) {
  _Float16 half;
  std::memcpy(&half, &value.bits, sizeof half);
  return static_cast<float>(half);
}

// y = the row, or y += the row
template <typename Element>
void add_row(const EmbedTable& table, int64_t index, int64_t width, bool first, float* y) {
  const auto* row = static_cast<const Element*>(table.rows) + index * width;
  if (first)
    for (int64_t d = 0; d < width; ++d) y[d] = to_float(row[d]);
  else
    for (int64_t d = 0; d < width; ++d) y[d] += to_float(row[d]);
}

template <typename Element>
void bag_text(const BagArgs& args, int64_t text) {
  const int64_t begin = args.offsets ? args.offsets[text] : text,
                end = args.offsets ? args.offsets[text + 1] : text + 1;
  float* y = args.y + text * args.y_stride;
  for (int64_t d = 0; d < args.width; ++d) y[d] = 0.0f;
  for (int64_t t = begin; t < end; ++t) {
    const int64_t index = args.rows[t];
    const auto* row = static_cast<const Element*>(args.table) + index * args.width;
    float factor = args.scales ? args.scales[index] : 1.0f;
    if (args.weights) factor *= args.weights[args.ids[t]];
    for (int64_t d = 0; d < args.width; ++d) y[d] += to_float(row[d]) * factor;
  }
  const float share = end > begin ? 1.0f / static_cast<float>(end - begin) : 0.0f;
  for (int64_t d = 0; d < args.width; ++d) y[d] *= share;
}

}  // namespace

Status embed(Stream& stream, const EmbedArgs& args) {
  if (!can_run(stream, args)) return kBadArgument;
  run_tasks(stream, (args.tokens + kTokensPerTask - 1) / kTokensPerTask, [&](int64_t task) {
    const int64_t end = std::min(args.tokens, (task + 1) * kTokensPerTask);
    for (int64_t t = task * kTokensPerTask; t < end; ++t) {
      float* y = args.y + t * args.y_stride;
      for (int32_t i = 0; i < args.count; ++i) {
        const EmbedTable& table = args.tables[i];
        const int64_t index = table.ids ? table.ids[t] : 0;
        if (table.dtype == DType::kF32) add_row<float>(table, index, args.width, i == 0, y);
        if (table.dtype == DType::kF16) add_row<Float16>(table, index, args.width, i == 0, y);
        if (table.dtype == DType::kBF16) add_row<Bfloat16>(table, index, args.width, i == 0, y);
      }
    }
  });
  return kOk;
}

Status bag(Stream& stream, const BagArgs& args) {
  if (!can_run(stream, args)) return kBadArgument;
  run_tasks(stream, args.texts, [&](int64_t text) {
    switch (args.dtype) {
      case DType::kF32: return bag_text<float>(args, text);
      case DType::kF16: return bag_text<Float16>(args, text);
      case DType::kBF16: return bag_text<Bfloat16>(args, text);
      case DType::kI8: return bag_text<int8_t>(args, text);
      default: return;
    }
  });
  return kOk;
}

}  // namespace embedcore::cpu::EMBEDCORE_ISA
