// The LoRA parts of a linear layer and of its input gradient. A part is one more block of the sums' words: y += t B^T
// with the narrow product t = d(x) A^T before it, and dx += d(m A) with m = scale dz B.
#pragma once

#include "cpu/linear_product.h"
#include "ops/linear.h"

namespace embedcore::cpu::EMBEDCORE_ISA {

// The block of one part: rows of words times panels, for panels first_panel .. end_panel of the layer.
struct LoraBlock {
  const Word* a;  // from the call's row 0 on
  int64_t a_stride;
  Panels b;  // its first panel is first_panel
  int64_t first_panel, end_panel;
  const Dropout* dropout;  // of the block's product; null = none
};

struct LoraBlocks {
  LoraBlock list[kMostLoraParts];
  int32_t count = 0;
  DType dtype = DType::kF32;  // of their words
};

// Computes the narrow products and packs the matrices in the calling thread's Scratch::kLora; x and dz are the layer's
// operands. Writes `middle` where a part has it. False if memory ran out.
bool prepare_lora(Stream& stream, const LinearArgs& args, const Operand& x, LoraBlocks& blocks);
bool prepare_lora(Stream& stream, const LinearInputGradientArgs& args, const Operand& dz, LoraBlocks& blocks);

// Adds the blocks to the float sums of a tile, which begins with the call's row `row`.
void add_lora(const LoraBlocks& blocks, const Panel& panel, int64_t row, int64_t rows, Word* sums);

}  // namespace embedcore::cpu::EMBEDCORE_ISA
