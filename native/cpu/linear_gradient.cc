// dx = dz W of ops/linear.h: the product with the backward panels.
#include "cpu/backend.h"
#include "cpu/linear_lora.h"
#include "ops/checks.h"

namespace embedcore::cpu::EMBEDCORE_ISA {
namespace {

struct InputGradient {
  const LinearInputGradientArgs& args;
  LoraBlocks lora;

  void operator()(const Panel& panel, int64_t row, int64_t rows, Word* sums) const {
    if (lora.count > 0) add_lora(lora, panel, row, rows, sums);
    for (int64_t v = 0; v < panel.vectors; ++v) {
      const int64_t column = panel.column + v * kWidth, left = args.weights->in - column;
      for (int64_t r = 0; r < rows; ++r) {
        Vec value = load(reinterpret_cast<const float*>(sums + r * kPanel + v * kWidth));
        float* dx = args.dx + (row + r) * args.dx_stride + column;
        if (args.add) value += load_upto(dx, left);
        store_upto(dx, value, left);
      }
    }
  }
};

}  // namespace

Status linear_input_gradient(Stream& stream, const LinearInputGradientArgs& args) {
  if (!can_run(stream, args)) return kBadArgument;
  if (args.rows == 0) return kOk;
  const Packed& packed = *static_cast<const Packed*>(args.weights);
  const OperandRows rows{args.dz, DType::kF32, args.dz_stride, args.rows, packed.out, packed.dtype, nullptr};
  Operand dz;
  if (!prepare_operand(stream, rows, dz)) return kOutOfMemory;
  InputGradient gradient{args, {}};
  if (args.lora_parts > 0 && !prepare_lora(stream, args, dz, gradient.lora)) return kOutOfMemory;
  const bool done = run_product(
      stream, {.x = dz,
               .rows = args.rows,
               .dtype = packed.dtype,
               .matrix = backward_panels(packed),
               .take = [](const void* taker, const Panel& panel, int64_t row, int64_t rows,
                          Word* sums) { (*static_cast<const InputGradient*>(taker))(panel, row, rows, sums); },
               .taker = &gradient});
  return done ? kOk : kOutOfMemory;
}

}  // namespace embedcore::cpu::EMBEDCORE_ISA
