// The parts that the checks of ops/checks.h are made of: each is true, or refuses with a sentence. Only for
// ops/checks*.cc.
#pragma once

#include <cstdio>

#include "ops/checks.h"
#include "ops/dropout.h"
#include "ops/linear.h"

namespace embedcore::checks {

using Integer = long long;  // of a format

inline bool is_float_file(DType dtype) { return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16; }

// "x of norm" and so on, for a sentence.
struct Operand {
  const char* operand;
  const char* op;
};

template <typename... Values>
bool refuse(Stream& stream, const char* format, Values... values) {
  std::snprintf(stream.message, sizeof stream.message, format, values...);
  return false;
}

inline bool is_size(Stream& stream, Operand of, int64_t value, int64_t least = 0) {
  if (value >= least) return true;
  return refuse(stream, "Expected at least %lld for %s of %s but received %lld", Integer{least}, of.operand, of.op,
                Integer{value});
}

inline bool is_given(Stream& stream, Operand of, const void* pointer, bool needed = true) {
  if (pointer || !needed) return true;
  return refuse(stream, "Expected memory for %s of %s but received null", of.operand, of.op);
}

// Rows that an operation touches: memory, and a stride that keeps them apart.
inline bool are_rows(Stream& stream, Operand of, const void* rows, int64_t count, int64_t width, int64_t stride) {
  if (count == 0) return true;
  if (!is_given(stream, of, rows)) return false;
  if (count == 1 || stride >= width) return true;
  return refuse(stream, "Expected a stride of at least %lld for %s of %s but received %lld", Integer{width}, of.operand,
                of.op, Integer{stride});
}

inline bool is_row_dtype(Stream& stream, Operand of, DType dtype, Supports supports) {
  if (is_float_file(dtype) && supports(stream.device, dtype)) return true;
  const bool half = supports(stream.device, DType::kF16), brain = supports(stream.device, DType::kBF16);
  const char* rows = half && brain ? "float32, float16 or bfloat16"
                     : half        ? "float32 or float16"
                     : brain       ? "float32 or bfloat16"
                                   : "float32";
  return refuse(stream, "Expected %s for %s of %s but received %s", rows, of.operand, of.op, dtype_name(dtype));
}

template <typename Enum>
bool is_kind(Stream& stream, Operand of, Enum value, Enum last) {
  if (value >= Enum{} && value <= last) return true;
  return refuse(stream, "Expected 0 to %d for %s of %s but received %d", static_cast<int>(last), of.operand, of.op,
                static_cast<int>(value));
}

inline bool is_plain_activation(Stream& stream, const char* op, Activation activation) {
  return is_kind(stream, {"the activation", op}, activation, Activation::kSigmoid);
}

// touched: the operation has elements, so that their rows need keys.
inline bool is_dropout(Stream& stream, const char* op, const Dropout& dropout, bool touched, Takes takes) {
  if (dropout.rate == 0) return true;
  if (!takes.dropout)
    return refuse(stream, "Expected a dropout rate of 0 for %s on this backend but received %g", op,
                  static_cast<double>(dropout.rate));
  if (!(dropout.rate > 0 && dropout.rate <= kMostDropout))
    return refuse(stream, "Expected 0 to %g for the dropout rate of %s but received %g",
                  static_cast<double>(kMostDropout), op, static_cast<double>(dropout.rate));
  return is_given(stream, {"the row keys", op}, dropout.rows, touched);
}

// The LoRA parts of a linear or of its gradient. touched: there are rows.
bool are_lora_parts(Stream& stream, const char* op, const LoraPart* parts, int32_t count, const PackedLinear& weights,
                    bool touched, Takes takes);

}  // namespace embedcore::checks
