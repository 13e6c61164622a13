// The checks of what training needs of linear layers, and of dropout.
#include "ops/check_parts.h"

namespace embedcore {

using namespace checks;

namespace {

bool is_arithmetic(Stream& stream, const char* op, DType dtype, Supports supports) {
  if ((dtype == DType::kF32 || dtype == DType::kBF16) && supports(stream.device, dtype)) return true;
  return refuse(stream, "Expected %s for the arithmetic of %s but received %s",
                supports(stream.device, DType::kBF16) ? "float32 or bfloat16" : "float32", op, dtype_name(dtype));
}

bool is_packed_backward(Stream& stream, const char* op, const PackedLinear* weights) {
  if (!is_given(stream, {"the weights", op}, weights)) return false;
  if (weights->backward) return true;
  return refuse(stream, "Expected weights packed for the backward pass for %s but received weights for the forward one",
                op);
}

}  // namespace

bool can_run(Stream& stream, const DropoutArgs& args, Supports supports) {
  constexpr const char* kOp = "dropout";
  return is_size(stream, {"rows", kOp}, args.rows) && is_size(stream, {"the width", kOp}, args.width) &&
         is_row_dtype(stream, {"x and y", kOp}, args.dtype, supports) &&
         is_dropout(stream, kOp, args.dropout, args.rows > 0 && args.width > 0, kTakesTraining) &&
         are_rows(stream, {"x", kOp}, args.x, args.rows, args.width, args.x_stride) &&
         are_rows(stream, {"y", kOp}, args.y, args.rows, args.width, args.y_stride);
}

bool can_run(Stream& stream, const LinearInputGradientArgs& args) {
  constexpr const char* kOp = "linear_input_gradient";
  if (!is_packed_backward(stream, kOp, args.weights) || !is_size(stream, {"rows", kOp}, args.rows) ||
      !are_lora_parts(stream, kOp, args.lora, args.lora_parts, *args.weights, args.rows > 0, kTakesTraining))
    return false;
  for (int32_t i = 0; i < args.lora_parts; ++i)
    if (!is_given(stream, {"the middle of a LoRA part", kOp}, args.lora[i].middle, args.rows > 0)) return false;
  return are_rows(stream, {"dz", kOp}, args.dz, args.rows, args.weights->out, args.dz_stride) &&
         are_rows(stream, {"dx", kOp}, args.dx, args.rows, args.weights->in, args.dx_stride);
}

bool can_run(Stream& stream, const LinearWeightGradientArgs& args, Supports supports) {
  constexpr const char* kOp = "linear_weight_gradient";
  return is_size(stream, {"rows", kOp}, args.rows) && is_size(stream, {"inputs", kOp}, args.in, 1) &&
         is_size(stream, {"outputs", kOp}, args.out, 1) && is_arithmetic(stream, kOp, args.dtype, supports) &&
         is_row_dtype(stream, {"x", kOp}, args.x_dtype, supports) &&
         are_rows(stream, {"x", kOp}, args.x, args.dweight ? args.rows : 0, args.in, args.x_stride) &&
         are_rows(stream, {"dz", kOp}, args.dz, args.dweight || args.dbias ? args.rows : 0, args.out, args.dz_stride);
}

bool can_repack(Stream& stream, const PackedLinear* packed, const float* weight, const float* bias) {
  constexpr const char* kOp = "repack_linear";
  return is_packed_backward(stream, kOp, packed) && is_given(stream, {"the values", kOp}, weight ? weight : bias);
}

}  // namespace embedcore
