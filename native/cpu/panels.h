// Brings matrices into the panels that a product reads (packed.h). What lies along the words of a panel is summed over:
// the rows of a matrix as they are, two neighbouring rows in a word of bfloat16, or its columns, which are transposed.
#pragma once

#include "cpu/packed.h"

namespace embedcore::cpu::EMBEDCORE_ISA {

// [rows, columns] of float32 or bfloat16, times scale. Row `first` is that of the panel's first word or column; those
// before and after the matrix are zeros.
struct Matrix {
  const void* data;
  DType dtype;
  int64_t stride, rows, columns;
  float scale = 1;
  int64_t first = 0;
};

// Words begin .. end, of float32 or bfloat16, of a panel whose columns are those of the matrix from `column` on. `to`
// is the place of word `begin`.
void pack_rows(const Matrix& matrix, DType dtype, int64_t column, int64_t vectors, int64_t begin, int64_t end,
               Word* to);

// kWidth columns of a panel that are the rows of a float32 matrix from first + column on; `to` is the place of the
// first one's first word, to_stride words are from one word of a column to the next. scratch: (kWidth + 1) times the
// words of a row.
void pack_columns(const Matrix& matrix, DType dtype, int64_t column, Word* to, int64_t to_stride, Word* scratch);

}  // namespace embedcore::cpu::EMBEDCORE_ISA
