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

// A gradient's task owns some of the distinct rows in some columns: frequent rows ([CLS], or all tokens of one type)
// are divided too.
constexpr int64_t kDistinctPerTask = 32, kColumnsPerTask = 128;

// Adds its tokens to row i, in kVectors whole vectors from `column` on, or in `count` elements of one.
template <int kVectors>
void add_tokens(const EmbedGradientArgs& args, int64_t i, int64_t column, int64_t count) {
  const auto take = [count](const float* from) { return kVectors > 1 ? load(from) : load_upto(from, count); };
  float* to = args.dtable + args.rows[i] * args.width + column;
  Vec sum[kVectors];
  for (int v = 0; v < kVectors; ++v) sum[v] = take(to + v * kWidth);
  for (int64_t t = args.starts[i]; t < args.starts[i + 1]; ++t) {
    const float* dy = args.dy + args.tokens[t] * args.dy_stride + column;
    for (int v = 0; v < kVectors; ++v) sum[v] += take(dy + v * kWidth);
  }
  for (int v = 0; v < kVectors; ++v)
    kVectors > 1 ? store(to + v * kWidth, sum[v]) : store_upto(to + v * kWidth, sum[v], count);
}

void add_row_gradient(const EmbedGradientArgs& args, int64_t i, int64_t first, int64_t last) {
  constexpr int kVectors = 4;
  int64_t column = first;
  for (; column + kVectors * kWidth <= last; column += kVectors * kWidth)
    add_tokens<kVectors>(args, i, column, kVectors * kWidth);
  for (; column < last; column += kWidth) add_tokens<1>(args, i, column, last - column);
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

Status embed_gradient(Stream& stream, const EmbedGradientArgs& args) {
  if (!can_run(stream, args)) return kBadArgument;
  const int64_t blocks = divide_up(args.width, kColumnsPerTask);
  run_tasks(stream, divide_up(args.distinct, kDistinctPerTask) * blocks, [&](int64_t task) {
    const int64_t begin = task / blocks * kDistinctPerTask, end = std::min(args.distinct, begin + kDistinctPerTask);
    const int64_t first = task % blocks * kColumnsPerTask, last = std::min(args.width, first + kColumnsPerTask);
    for (int64_t i = begin; i < end; ++i) add_row_gradient(args, i, first, last);
  });
  return kOk;
}

}  // namespace embedcore::cpu::EMBEDCORE_ISA
