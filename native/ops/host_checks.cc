#include "ops/host_checks.h"

#include <cstdio>

#include "ops/attention.h"
#include "ops/embed.h"
#include "ops/linear.h"

namespace embedcore {

namespace {

bool is_float_file(DType dtype) { return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16; }

template <typename... Values>
bool refuse(Stream& stream, const char* format, Values... values) {
  std::snprintf(stream.message, sizeof stream.message, format, values...);
  return false;
}

bool has_no_dropout(Stream& stream, const char* op, const Dropout& dropout) {
  if (dropout.rate == 0) return true;
  return refuse(stream, "Expected a dropout rate of 0 for %s on this backend but received %g", op,
                static_cast<double>(dropout.rate));
}

}  // namespace

bool host_supports(Device*, DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kI8;
}

bool host_can_pack(const LinearWeights& weights) {
  if (!host_supports(nullptr, weights.dtype)) return false;
  if (weights.dtype == DType::kI8 && weights.in > kMostInt8Inputs) return false;
  return is_float_file(weights.weight_dtype) && weights.use == LinearUse::kForward;
}

bool host_can_run(Stream& stream, const LinearArgs& args) {
  if (args.lora_parts != 0)
    return refuse(stream, "Expected no LoRA parts for linear on this backend but received %d",
                  static_cast<int>(args.lora_parts));
  return has_no_dropout(stream, "linear", args.dropout);
}

bool host_can_run(Stream& stream, const AttentionArgs& args) {
  return has_no_dropout(stream, "attention", args.dropout);
}

bool host_can_run(Stream& stream, const EmbedArgs& args) {
  if (args.count < 1 || args.count > kMostEmbedTables)
    return refuse(stream, "Expected 1 to %d tables but received %d", static_cast<int>(kMostEmbedTables),
                  static_cast<int>(args.count));
  for (int32_t i = 0; i < args.count; ++i)
    if (!is_float_file(args.tables[i].dtype))
      return refuse(stream, "Expected a table of float32, float16 or bfloat16 but received %s",
                    dtype_name(args.tables[i].dtype));
  return true;
}

bool host_can_run(Stream& stream, const BagArgs& args) {
  if (is_float_file(args.dtype) || args.dtype == DType::kI8) return true;
  return refuse(stream, "Expected a table of float32, float16, bfloat16 or int8 but received %s",
                dtype_name(args.dtype));
}

}  // namespace embedcore
