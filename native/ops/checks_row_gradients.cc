// The checks of gradients of operations on rows.
#include "ops/activation.h"
#include "ops/check_parts.h"
#include "ops/embed.h"
#include "ops/norm.h"
#include "ops/pool.h"
#include "ops/vectors.h"

namespace embedcore {

using namespace checks;

bool can_run(Stream& stream, const NormGradientArgs& args) {
  constexpr const char* kOp = "norm_gradient";
  return is_kind(stream, {"the kind", kOp}, args.kind, NormKind::kRms) && is_size(stream, {"rows", kOp}, args.rows) &&
         is_size(stream, {"the width", kOp}, args.width) &&
         is_given(stream, {"the means", kOp}, args.mean, args.kind == NormKind::kLayer && args.rows > 0) &&
         is_given(stream, {"the deviations", kOp}, args.rstd, args.rows > 0) &&
         are_rows(stream, {"x", kOp}, args.x, args.rows, args.width, args.x_stride) &&
         are_rows(stream, {"dy", kOp}, args.dy, args.rows, args.width, args.dy_stride) &&
         are_rows(stream, {"dx", kOp}, args.dx, args.rows, args.width, args.dx_stride);
}

bool can_run(Stream& stream, const NormWeightGradientArgs& args) {
  constexpr const char* kOp = "norm_weight_gradient";
  if (!is_kind(stream, {"the kind", kOp}, args.kind, NormKind::kRms) || !is_size(stream, {"rows", kOp}, args.rows) ||
      !is_size(stream, {"the width", kOp}, args.width) ||
      !are_rows(stream, {"dy", kOp}, args.dy, args.rows, args.width, args.dy_stride))
    return false;
  // The gradient of the bias needs dy alone.
  const bool weight = args.dweight && args.rows > 0;
  return is_given(stream, {"the means", kOp}, args.mean, weight && args.kind == NormKind::kLayer) &&
         is_given(stream, {"the deviations", kOp}, args.rstd, weight) &&
         are_rows(stream, {"x", kOp}, args.x, weight ? args.rows : 0, args.width, args.x_stride);
}

bool can_run(Stream& stream, const ActivationGradientArgs& args, Supports supports) {
  constexpr const char* kOp = "activation_gradient";
  const int64_t x_width = args.gated ? 2 * args.width : args.width;
  return is_plain_activation(stream, kOp, args.activation) && is_size(stream, {"rows", kOp}, args.rows) &&
         is_size(stream, {"the width", kOp}, args.width) &&
         is_row_dtype(stream, {"x and y", kOp}, args.dtype, supports) &&
         are_rows(stream, {"x", kOp}, args.x, args.rows, x_width, args.x_stride) &&
         are_rows(stream, {"dy", kOp}, args.dy, args.rows, args.width, args.dy_stride) &&
         are_rows(stream, {"dx", kOp}, args.dx, args.rows, x_width, args.dx_stride) &&
         are_rows(stream, {"y", kOp}, args.y, args.y ? args.rows : 0, args.width, args.y_stride);
}

bool can_run(Stream& stream, const EmbedGradientArgs& args) {
  constexpr const char* kOp = "embed_gradient";
  if (!is_size(stream, {"distinct rows", kOp}, args.distinct) || !is_size(stream, {"the width", kOp}, args.width))
    return false;
  const bool touched = args.distinct > 0;
  return is_given(stream, {"the rows", kOp}, args.rows, touched) &&
         is_given(stream, {"the starts", kOp}, args.starts, touched) &&
         is_given(stream, {"the tokens", kOp}, args.tokens, touched) &&
         is_given(stream, {"the table", kOp}, args.dtable, touched) &&
         // How many tokens there are is in the starts.
         are_rows(stream, {"dy", kOp}, args.dy, touched ? 2 : 0, args.width, args.dy_stride);
}

bool can_run(Stream& stream, const PoolGradientArgs& args) {
  constexpr const char* kOp = "pool_gradient";
  if (!is_kind(stream, {"the mode", kOp}, args.mode, Pooling::kLastToken) ||
      !is_size(stream, {"texts", kOp}, args.texts) || !is_size(stream, {"the width", kOp}, args.width) ||
      !is_given(stream, {"the offsets", kOp}, args.offsets, args.texts > 0))
    return false;
  const int64_t tokens = args.texts > 0 ? 2 : 0;  // how many there are is in the offsets
  return are_rows(stream, {"x", kOp}, args.x, args.mode == Pooling::kMax ? tokens : 0, args.width, args.x_stride) &&
         are_rows(stream, {"dy", kOp}, args.dy, args.texts, args.width, args.dy_stride) &&
         are_rows(stream, {"dx", kOp}, args.dx, tokens, args.width, args.dx_stride);
}

bool can_run(Stream& stream, const NormalizeGradientArgs& args) {
  constexpr const char* kOp = "normalize_gradient";
  return is_size(stream, {"rows", kOp}, args.rows) && is_size(stream, {"the width", kOp}, args.width) &&
         is_given(stream, {"the lengths", kOp}, args.lengths, args.rows > 0) &&
         are_rows(stream, {"y", kOp}, args.y, args.rows, args.width, args.y_stride) &&
         are_rows(stream, {"dy", kOp}, args.dy, args.rows, args.width, args.dy_stride) &&
         are_rows(stream, {"dx", kOp}, args.dx, args.rows, args.width, args.dx_stride);
}

}  // namespace embedcore
