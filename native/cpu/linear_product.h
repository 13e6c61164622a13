// The product of rows of operands with a matrix in panels: the core of a linear layer and of its input gradient.
#pragma once

#include "cpu/operand.h"
#include "cpu/packed.h"

namespace embedcore::cpu::EMBEDCORE_ISA {

// sums [rows, kPanel] (+)= a [rows, words] times b [words, vectors * kWidth]; rows at most kTileRows.
void multiply_tile(DType dtype, int64_t rows, int64_t vectors, const Word* a, int64_t a_stride, const Word* b,
                   int64_t words, bool first, Word* sums);

constexpr int64_t kRowBlock = 240;  // rows that use one panel block while it is in L2

struct Product {
  Operand x;
  int64_t rows;
  DType dtype;
  Panels matrix;
  // Takes the sums [rows, kPanel] of one tile: rows row .. row + rows, the columns of the panel. At most kTileRows
  // rows.
  void (*take)(const void* taker, const Panel& panel, int64_t row, int64_t rows, Word* sums);
  const void* taker;
  int64_t row_block = kRowBlock;  // rows of a task at most
};

// False if memory ran out. Uses the threads' Scratch::kTask.
bool run_product(Stream& stream, const Product& product);

}  // namespace embedcore::cpu::EMBEDCORE_ISA
