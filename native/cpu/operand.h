// Turns rows of float32 or bfloat16 into operands of a matrix product: words of 32 bits (dot.h).
#pragma once

#include "cpu/tile.h"
#include "ops/linear.h"

namespace embedcore::cpu::EMBEDCORE_ISA {

// Corrects the sums of a row of unsigned bytes; unused for other dtypes.
struct RowScale {
  float step;  // NaN if the row has a value that is not finite
  int32_t zero;
};

struct Operand {
  const Word* words;
  int64_t stride;  // words
  const RowScale* scales;
};

// Elements of the dtype in a word.
constexpr int64_t elements_per_word(DType dtype) { return dtype == DType::kI8 ? 4 : dtype == DType::kBF16 ? 2 : 1; }

// to [words of n elements] = x in bfloat16; a last half word is zero.
void to_bfloat16(const float* x, int64_t n, Word* to);
void to_bfloat16(const uint16_t* x, int64_t n, Word* to);
// to = signed bytes round(x smoothing / scale), scale = max |x smoothing| / 127. smoothing may be null. The rest of the
// last word is zero. Returns the scale; sum gets the sum of the bytes.
float quantize_weights(const float* x, const float* smoothing, int64_t n, Word* to, int32_t& sum);

// Rows of float32 or bfloat16 that become an operand of a dtype.
struct OperandRows {
  const void* x;
  DType x_dtype;
  int64_t stride, rows, width;
  DType dtype;
  const float* reciprocals;  // int8: [width]
};

// The rows themselves if they have that form, otherwise converted in the calling thread's Scratch::kShared. False if
// memory ran out.
bool prepare_operand(Stream& stream, const OperandRows& from, Operand& operand);

}  // namespace embedcore::cpu::EMBEDCORE_ISA
