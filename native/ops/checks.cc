#include "ops/checks.h"

#include <algorithm>

#include "ops/activation.h"
#include "ops/check_parts.h"
#include "ops/embed.h"
#include "ops/fuse.h"
#include "ops/linear.h"
#include "ops/norm.h"
#include "ops/pool.h"
#include "ops/vectors.h"

namespace embedcore {

using namespace checks;

namespace {

bool is_lora_part(Stream& stream, const char* op, const LoraPart& part, int64_t out, bool touched, Takes takes) {
  if (!is_size(stream, {"the rank of a LoRA part", op}, part.rank, 1) ||
      !is_size(stream, {"the columns of a LoRA part", op}, part.count, 1) ||
      !is_size(stream, {"the first column of a LoRA part", op}, part.first))
    return false;
  if (part.first > out - part.count)
    return refuse(stream, "Expected columns up to %lld for a LoRA part of %s but received %lld to %lld", Integer{out},
                  op, Integer{part.first}, Integer{part.first + part.count});
  return is_given(stream, {"A of a LoRA part", op}, part.a, touched) &&
         is_given(stream, {"B of a LoRA part", op}, part.b, touched) &&
         is_dropout(stream, op, part.dropout, touched, takes);
}

}  // namespace

bool checks::are_lora_parts(Stream& stream, const char* op, const LoraPart* parts, int32_t count,
                            const PackedLinear& weights, bool touched, Takes takes) {
  if (count == 0) return true;
  if (count < 0 || count > kMostLoraParts)
    return refuse(stream, "Expected 0 to %d LoRA parts for %s but received %d", static_cast<int>(kMostLoraParts), op,
                  static_cast<int>(count));
  if (!is_given(stream, {"the LoRA parts", op}, parts)) return false;
  for (int32_t i = 0; i < count; ++i) {
    if (!is_lora_part(stream, op, parts[i], weights.out, touched, takes)) return false;
    for (int32_t j = 0; j < i; ++j)
      if (parts[i].first < parts[j].first + parts[j].count && parts[j].first < parts[i].first + parts[i].count)
        return refuse(stream, "Expected LoRA parts of %s that do not overlap but received two with column %lld", op,
                      Integer{std::max(parts[i].first, parts[j].first)});
  }
  return true;
}

bool can_pack(Device* device, const LinearWeights& weights, Supports supports, Takes takes) {
  if (!is_float_file(weights.dtype) && weights.dtype != DType::kI8) return false;
  if (!supports(device, weights.dtype)) return false;
  if (weights.in < 1 || weights.out < 1 || !weights.weight) return false;
  if (weights.dtype == DType::kI8 && weights.in > kMostInt8Inputs) return false;
  if (!is_float_file(weights.weight_dtype)) return false;
  if (weights.use == LinearUse::kForward) return true;
  return weights.use == LinearUse::kForwardAndBackward && takes.backward &&
         (weights.dtype == DType::kF32 || weights.dtype == DType::kBF16);
}

bool can_run(Stream& stream, const LinearArgs& args, Supports supports, Takes takes) {
  constexpr const char* kOp = "linear";
  if (!is_given(stream, {"the weights", kOp}, args.weights) || !is_size(stream, {"rows", kOp}, args.rows) ||
      !are_lora_parts(stream, kOp, args.lora, args.lora_parts, *args.weights, args.rows > 0, takes) ||
      !is_dropout(stream, kOp, args.dropout, args.rows > 0, takes) ||
      !is_plain_activation(stream, kOp, args.activation) || !is_row_dtype(stream, {"x", kOp}, args.x_dtype, supports) ||
      !is_row_dtype(stream, {"y", kOp}, args.y_dtype, supports) ||
      !are_rows(stream, {"x", kOp}, args.x, args.rows, args.weights->in, args.x_stride) ||
      !are_rows(stream, {"y", kOp}, args.y, args.rows, args.weights->out, args.y_stride))
    return false;
  if (args.residual &&
      !are_rows(stream, {"the residual", kOp}, args.residual, args.rows, args.weights->out, args.residual_stride))
    return false;
  if (args.residual == args.y && args.residual && args.y_dtype != DType::kF32)
    return refuse(stream, "Expected float32 for y of linear, which is the residual, but received %s",
                  dtype_name(args.y_dtype));
  return true;
}

bool can_run(Stream& stream, const NormArgs& args, Supports supports) {
  constexpr const char* kOp = "norm";
  if (!is_kind(stream, {"the kind", kOp}, args.kind, NormKind::kRms) || !is_size(stream, {"rows", kOp}, args.rows) ||
      !is_size(stream, {"the width", kOp}, args.width) || !is_row_dtype(stream, {"y", kOp}, args.y_dtype, supports) ||
      !are_rows(stream, {"x", kOp}, args.x, args.rows, args.width, args.x_stride) ||
      !are_rows(stream, {"y", kOp}, args.y, args.rows, args.width, args.y_stride))
    return false;
  if (args.x == args.y && args.rows > 0 && args.y_dtype != DType::kF32)
    return refuse(stream, "Expected float32 for y of norm, which is x, but received %s", dtype_name(args.y_dtype));
  return true;
}

bool can_run(Stream& stream, const EmbedArgs& args) {
  constexpr const char* kOp = "embed";
  if (args.count < 1 || args.count > kMostEmbedTables)
    return refuse(stream, "Expected 1 to %d tables but received %d", static_cast<int>(kMostEmbedTables),
                  static_cast<int>(args.count));
  if (!is_given(stream, {"the tables", kOp}, args.tables) || !is_size(stream, {"tokens", kOp}, args.tokens) ||
      !is_size(stream, {"the width", kOp}, args.width) ||
      !are_rows(stream, {"y", kOp}, args.y, args.tokens, args.width, args.y_stride))
    return false;
  for (int32_t i = 0; i < args.count; ++i) {
    if (!is_float_file(args.tables[i].dtype))
      return refuse(stream, "Expected a table of float32, float16 or bfloat16 but received %s",
                    dtype_name(args.tables[i].dtype));
    if (!is_given(stream, {"a table", kOp}, args.tables[i].rows, args.tokens > 0)) return false;
  }
  return true;
}

bool can_run(Stream& stream, const BagArgs& args) {
  constexpr const char* kOp = "bag";
  if (!is_float_file(args.dtype) && args.dtype != DType::kI8)
    return refuse(stream, "Expected a table of float32, float16, bfloat16 or int8 but received %s",
                  dtype_name(args.dtype));
  return is_size(stream, {"texts", kOp}, args.texts) && is_size(stream, {"the width", kOp}, args.width) &&
         is_given(stream, {"the table", kOp}, args.table, args.texts > 0) &&
         // How many tokens there are is in the offsets; without them each text is one.
         is_given(stream, {"the rows", kOp}, args.rows, !args.offsets && args.texts > 0) &&
         is_given(stream, {"the ids", kOp}, args.ids, args.weights && !args.offsets && args.texts > 0) &&
         are_rows(stream, {"y", kOp}, args.y, args.texts, args.width, args.y_stride);
}

bool can_run(Stream& stream, const ActivationArgs& args, Supports supports) {
  constexpr const char* kOp = "activation";
  return is_plain_activation(stream, kOp, args.activation) && is_size(stream, {"rows", kOp}, args.rows) &&
         is_size(stream, {"the width", kOp}, args.width) &&
         is_row_dtype(stream, {"x and y", kOp}, args.dtype, supports) &&
         are_rows(stream, {"x", kOp}, args.x, args.rows, args.gated ? 2 * args.width : args.width, args.x_stride) &&
         are_rows(stream, {"y", kOp}, args.y, args.rows, args.width, args.y_stride);
}

bool can_run(Stream& stream, const PoolArgs& args) {
  constexpr const char* kOp = "pool";
  return is_kind(stream, {"the mode", kOp}, args.mode, Pooling::kLastToken) &&
         is_size(stream, {"texts", kOp}, args.texts) && is_size(stream, {"the width", kOp}, args.width) &&
         is_given(stream, {"the offsets", kOp}, args.offsets, args.texts > 0) &&
         are_rows(stream, {"x", kOp}, args.x, args.texts > 0 ? 2 : 0, args.width, args.x_stride) &&
         are_rows(stream, {"y", kOp}, args.y, args.texts, args.width, args.y_stride);
}

bool can_run(Stream& stream, const FuseArgs& args) {
  constexpr const char* kOp = "fuse";
  return is_size(stream, {"rows", kOp}, args.rows) && is_size(stream, {"the width", kOp}, args.width) &&
         are_rows(stream, {"x", kOp}, args.x, args.rows, args.width, args.x_stride) &&
         are_rows(stream, {"y", kOp}, args.y, args.rows, args.width, args.y_stride);
}

bool can_run(Stream& stream, const NormalizeArgs& args) {
  constexpr const char* kOp = "normalize";
  return is_size(stream, {"rows", kOp}, args.rows) && is_size(stream, {"the width", kOp}, args.width) &&
         are_rows(stream, {"x", kOp}, args.x, args.rows, args.width, args.stride);
}

bool can_run(Stream& stream, const SimilarityArgs& args) {
  constexpr const char* kOp = "similarity";
  if (!is_kind(stream, {"the kind", kOp}, args.kind, Similarity::kManhattan) ||
      !is_size(stream, {"the rows of a", kOp}, args.rows_a) || !is_size(stream, {"the rows of b", kOp}, args.rows_b) ||
      !is_size(stream, {"the width", kOp}, args.width))
    return false;
  if (args.rows_a == 0 || args.rows_b == 0) return true;
  return is_given(stream, {"a", kOp}, args.a, args.width > 0) && is_given(stream, {"b", kOp}, args.b, args.width > 0) &&
         are_rows(stream, {"y", kOp}, args.y, args.rows_a, args.rows_b,
                  args.y_stride == 0 ? args.rows_b : args.y_stride);
}

bool can_run(Stream& stream, const QuantizeArgs& args) {
  constexpr const char* kOp = "quantize";
  const bool levels = args.precision == Precision::kInt8 || args.precision == Precision::kUint8;
  if (!is_kind(stream, {"the precision", kOp}, args.precision, Precision::kUbinary) ||
      !is_size(stream, {"rows", kOp}, args.rows) || !is_size(stream, {"the width", kOp}, args.width))
    return false;
  const bool touched = args.rows > 0 && args.width > 0;
  return is_given(stream, {"x", kOp}, args.x, touched) && is_given(stream, {"y", kOp}, args.y, touched) &&
         is_given(stream, {"the minimum", kOp}, args.minimum, touched && levels) &&
         is_given(stream, {"the maximum", kOp}, args.maximum, touched && levels);
}

}  // namespace embedcore
