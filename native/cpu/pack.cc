// The packing of packed.h: kWidth rows of W at a time become words, which are transposed square by square.
#include <new>

#include "cpu/backend.h"
#include "cpu/operand.h"
#include "cpu/packed.h"
#include "ops/checks.h"
#include "ops/host_device.h"

namespace embedcore::cpu::EMBEDCORE_ISA {
namespace {

// Row o of W in float32: in place, or converted into `floats` [in].
const float* row_of(const LinearWeights& w, int64_t o, float* floats) {
  if (w.weight_dtype == DType::kF32) return static_cast<const float*>(w.weight) + o * w.in;
  const auto* row =
      static_cast<const std::byte*>(w.weight) + static_cast<size_t>(o * w.in) * dtype_size(w.weight_dtype);
  to_float32(row, w.weight_dtype, floats, static_cast<size_t>(w.in));
  return floats;
}

// Row o of W as words; returns their address. `floats` has room for a row.
const Word* make_words(const LinearWeights& w, const Packed& packed, int64_t o, Word* scratch, float* floats) {
  const float* row = row_of(w, o, w.dtype == DType::kF32 ? reinterpret_cast<float*>(scratch) : floats);
  if (w.dtype == DType::kF32) return reinterpret_cast<const Word*>(row);
  if (w.dtype == DType::kBF16)
    to_bfloat16(row, w.in, scratch);
  else
    packed.scale[o] = quantize_weights(row, w.smoothing, w.in, scratch, packed.column_sums[o]);
  return scratch;
}

// Columns first .. first + kWidth of W^T; those beyond the matrix are zero.
void pack_vector(const LinearWeights& w, const Packed& packed, int64_t first, Word* scratch, float* floats) {
  const Panel panel = panel_at(packed, first / kPanel);
  const int64_t stride = panel.vectors * kWidth, rows = std::min<int64_t>(kWidth, w.out - first);
  Word* to = packed.panels + panel.column * packed.words + (first - panel.column);
  const Word* from[kWidth];
  for (int64_t i = 0; i < rows; ++i) from[i] = make_words(w, packed, first + i, scratch + i * packed.words, floats);
  transpose_columns(from, rows, packed.words, to, stride);
}

}  // namespace

Status pack_linear(Device* device, const LinearWeights& w, PackedLinear** out) {
  if (!can_pack(device, w, supports)) return kBadArgument;
  auto* packed = new (std::nothrow) Packed{};
  if (!packed) return kOutOfMemory;
  const int64_t padded = round_up(w.out, kWidth);
  packed->in = w.in;
  packed->out = w.out;
  packed->dtype = w.dtype;
  packed->words = divide_up(w.in, elements_per_word(w.dtype));
  const bool bytes = w.dtype == DType::kI8;
  packed->bytes = static_cast<size_t>(padded * (packed->words + (bytes ? 3 : 1)) + (bytes ? w.in : 0)) * sizeof(Word);
  packed->memory = device->weights.allocate(packed->bytes);
  packed->panels = reinterpret_cast<Word*>(packed->memory.data());
  const auto scratch_words = static_cast<size_t>(kWidth * packed->words + w.in);
  void* memory = packed->panels ? thread_scratch(Scratch::kTask, scratch_words * sizeof(Word)) : nullptr;
  if (!memory) {
    free_linear(packed);
    return kOutOfMemory;
  }
  auto* scratch = static_cast<Word*>(memory);
  auto* floats = reinterpret_cast<float*>(scratch + kWidth * packed->words);
  packed->bias = reinterpret_cast<float*>(packed->panels + padded * packed->words);
  for (int64_t i = 0; i < padded; ++i) packed->bias[i] = w.bias && i < w.out ? w.bias[i] : 0.0f;
  if (bytes) {
    packed->scale = packed->bias + padded;
    packed->column_sums = reinterpret_cast<int32_t*>(packed->scale + padded);
    packed->reciprocals = reinterpret_cast<float*>(packed->column_sums + padded);
    for (int64_t k = 0; k < w.in; ++k) packed->reciprocals[k] = w.smoothing ? 1.0f / w.smoothing[k] : 1.0f;
    for (int64_t i = w.out; i < padded; ++i) {
      packed->scale[i] = 0.0f;
      packed->column_sums[i] = 0;
    }
  }
  for (int64_t first = 0; first < w.out; first += kWidth) pack_vector(w, *packed, first, scratch, floats);
  *out = packed;
  return kOk;
}

void free_linear(PackedLinear* packed) { delete static_cast<Packed*>(packed); }

}  // namespace embedcore::cpu::EMBEDCORE_ISA
