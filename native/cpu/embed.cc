// ops/embed.h
#include "ops/embed.h"

#include <algorithm>
#include <bit>
#include <cstdio>

#include "cpu/backend.h"
#include "cpu/simd.h"

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

template <typename Element>
void bag_text(const BagArgs& args, int64_t text) {
  const int64_t begin = args.offsets[text], end = args.offsets[text + 1];
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

Status embed(Scope& scope, const EmbedArgs& args) {
  run_tasks(scope, (args.tokens + kTokensPerTask - 1) / kTokensPerTask, [&](int64_t task) {
    const int64_t end = std::min(args.tokens, (task + 1) * kTokensPerTask);
    for (int64_t t = task * kTokensPerTask; t < end; ++t) {
      float* y = args.y + t * args.y_stride;
      const float* word = args.word + args.ids[t] * args.width;
      const float* position = args.position ? args.position + args.positions[t] * args.width : nullptr;
      // word + type first, then the position: the order of the reference implementations
      for (int64_t d = 0; d < args.width; ++d) {
        float value = word[d];
        if (args.type) value += args.type[d];
        if (position) value += position[d];
        y[d] = value;
      }
    }
  });
  return kOk;
}

Status bag(Scope& scope, const BagArgs& args) {
  if (args.dtype != DType::kF32 && args.dtype != DType::kF16 && args.dtype != DType::kBF16 &&
      args.dtype != DType::kI8) {
    std::snprintf(scope.message, sizeof scope.message,
                  "a table of %s is not supported (float32, float16, bfloat16, int8 are)", dtype_name(args.dtype));
    return kBadArgument;
  }
  run_tasks(scope, args.texts, [&](int64_t text) {
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
