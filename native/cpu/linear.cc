// ops/linear.h on packed weights (packed.h): a product whose tiles end with all that a row of a layer gets.
#include "ops/linear.h"

#include "cpu/backend.h"
#include "cpu/dropout.h"
#include "cpu/linear_lora.h"
#include "cpu/math.h"
#include "ops/checks.h"

namespace embedcore::cpu::EMBEDCORE_ISA {
namespace {

// The sums of one vector of columns as floats.
template <bool kInt8>
struct Columns {
  Vec bias, scale;
  IntVec column_sums;
  Columns(const Packed& packed, int64_t column) : bias(load(packed.bias + column)) {
    if constexpr (kInt8) {
      scale = load(packed.scale + column);
      column_sums = load_words(packed.column_sums + column);
    }
  }
  Vec value(const Word* sums, const RowScale* row) const {
    if constexpr (!kInt8)
      return load(reinterpret_cast<const float*>(sums)) + bias;
    else
      return __builtin_convertvector(load_words(sums) - column_sums * row->zero, Vec) * (scale * broadcast(row->step)) +
             bias;
  }
};

// Where the values of a tile go: row 0 and column 0 are the tile's.
struct Target {
  void* y;
  int64_t y_stride;
  const float* residual;  // null = none
  int64_t residual_stride;
};

// y = activation(sums + bias) + residual for one tile. Not part of the tile's template, because 24 shapes times 7
// activations take minutes to compile.
template <Activation kActivation, typename Element, bool kInt8>
void finish_tile(const Packed& packed, const RowScale* scales, const Panel& panel, int64_t rows, const Word* sums,
                 const Target& target) {
  for (int64_t v = 0; v < panel.vectors; ++v) {
    const int64_t column = panel.column + v * kWidth, left = packed.out - column;
    const Columns<kInt8> columns(packed, column);
    for (int64_t r = 0; r < rows; ++r) {
      Vec value = activate_for<kActivation, Element>(columns.value(sums + r * kPanel + v * kWidth, scales + r));
      if (target.residual) value += load_upto(target.residual + r * target.residual_stride + v * kWidth, left);
      store_upto(static_cast<Element*>(target.y) + r * target.y_stride + v * kWidth, value, left);
    }
  }
}

void finish(const Packed& packed, Activation activation, DType y_dtype, bool integers, const RowScale* scales,
            const Panel& panel, int64_t rows, const Word* sums, const Target& target) {
  with_activation(activation, [&]<Activation kActivation>() {
    if (y_dtype == DType::kBF16)
      integers ? finish_tile<kActivation, uint16_t, true>(packed, scales, panel, rows, sums, target)
               : finish_tile<kActivation, uint16_t, false>(packed, scales, panel, rows, sums, target);
    else
      integers ? finish_tile<kActivation, float, true>(packed, scales, panel, rows, sums, target)
               : finish_tile<kActivation, float, false>(packed, scales, panel, rows, sums, target);
  });
}

// Integer sums as the floats that they stand for.
void make_floats(const Packed& packed, const RowScale* scales, const Panel& panel, int64_t rows, Word* sums) {
  for (int64_t v = 0; v < panel.vectors; ++v) {
    Columns<true> columns(packed, panel.column + v * kWidth);
    columns.bias = Vec{};
    for (int64_t r = 0; r < rows; ++r) {
      Word* at = sums + r * kPanel + v * kWidth;
      store_words(at, reinterpret_cast<IntVec>(columns.value(at, scales + r)));
    }
  }
}

// y = dropout(values) + residual
template <typename Element>
void drop_tile(const LinearArgs& args, const Panel& panel, int64_t row, int64_t rows, const float* values,
               const Target& target) {
  const int64_t columns = panel.vectors * kWidth, stride = round_up(columns, kCounterNumbers);
  uint16_t numbers[kTileRows * round_up(kPanel, kCounterNumbers) + kNumbersAtOnce];
  dropout_numbers(args.dropout, args.dropout.rows + row, rows, panel.column, columns, numbers);
  const Dropped dropped(args.dropout);
  for (int64_t v = 0; v < panel.vectors; ++v) {
    const int64_t left = args.weights->out - panel.column - v * kWidth;
    for (int64_t r = 0; r < rows; ++r) {
      Vec value = dropped(load(values + r * kPanel + v * kWidth), numbers + r * stride + v * kWidth);
      if (target.residual) value += load_upto(target.residual + r * target.residual_stride + v * kWidth, left);
      store_upto(static_cast<Element*>(target.y) + r * target.y_stride + v * kWidth, value, left);
    }
  }
}

struct Layer {
  const LinearArgs& args;
  const RowScale* scales;
  LoraBlocks lora;

  void operator()(const Panel& panel, int64_t row, int64_t rows, Word* sums) const {
    const Packed& packed = *static_cast<const Packed*>(args.weights);
    const RowScale* own_scales = scales + row;
    bool integers = packed.dtype == DType::kI8;
    if (lora.count > 0) {
      if (integers) make_floats(packed, own_scales, panel, rows, sums);
      integers = false;
      add_lora(lora, panel, row, rows, sums);
    }
    const int64_t size = args.y_dtype == DType::kBF16 ? 2 : 4;
    const Target target{static_cast<std::byte*>(args.y) + (row * args.y_stride + panel.column) * size, args.y_stride,
                        args.residual ? args.residual + row * args.residual_stride + panel.column : nullptr,
                        args.residual_stride};
    if (args.dropout.rate == 0)
      return finish(packed, args.activation, args.y_dtype, integers, own_scales, panel, rows, sums, target);
    alignas(64) float values[kTileRows * kPanel];
    finish(packed, args.activation, DType::kF32, integers, own_scales, panel, rows, sums, {values, kPanel, nullptr, 0});
    if (args.y_dtype == DType::kBF16)
      drop_tile<uint16_t>(args, panel, row, rows, values, target);
    else
      drop_tile<float>(args, panel, row, rows, values, target);
  }
};

}  // namespace

Status linear(Stream& stream, const LinearArgs& args) {
  if (!can_run(stream, args, supports, kTakesTraining)) return kBadArgument;
  if (args.rows == 0) return kOk;
  const Packed& packed = *static_cast<const Packed*>(args.weights);
  const OperandRows rows{args.x, args.x_dtype, args.x_stride, args.rows, packed.in, packed.dtype, packed.reciprocals};
  Operand x;
  if (!prepare_operand(stream, rows, x)) return kOutOfMemory;
  Layer layer{args, x.scales, {}};
  if (args.lora_parts > 0 && !prepare_lora(stream, args, x, layer.lora)) return kOutOfMemory;
  const bool done =
      run_product(stream, {.x = x,
                           .rows = args.rows,
                           .dtype = packed.dtype,
                           .matrix = forward_panels(packed),
                           .take = [](const void* taker, const Panel& panel, int64_t row, int64_t rows,
                                      Word* sums) { (*static_cast<const Layer*>(taker))(panel, row, rows, sums); },
                           .taker = &layer});
  return done ? kOk : kOutOfMemory;
}

}  // namespace embedcore::cpu::EMBEDCORE_ISA
