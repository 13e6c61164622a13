// The packing of packed.h: kWidth rows of W at a time become words, which are transposed square by square. For the
// backward pass the rows go into the panels as they are.
#include <new>

#include "cpu/backend.h"
#include "cpu/operand.h"
#include "cpu/panels.h"
#include "ops/checks.h"
#include "ops/host_device.h"

namespace embedcore::cpu::EMBEDCORE_ISA {
namespace {

constexpr int64_t kOutputsPerTask = 64;  // of repacking; whole words of the backward panels

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
  const Panel panel = panel_at(forward_panels(packed), first / kPanel);
  const int64_t stride = panel.vectors * kWidth, rows = std::min<int64_t>(kWidth, w.out - first);
  Word* to = packed.panels + panel.column * packed.words + (first - panel.column);
  const Word* from[kWidth];
  for (int64_t i = 0; i < rows; ++i) from[i] = make_words(w, packed, first + i, scratch + i * packed.words, floats);
  transpose_columns(from, rows, packed.words, to, stride);
}

// Words begin .. end of the backward panels, of a float32 matrix whose row 0 is row begin * elements of W.
void pack_backward(const Packed& packed, const Matrix& matrix, int64_t begin, int64_t end) {
  const Panels panels = backward_panels(packed);
  for (int64_t index = 0; index < divide_up(packed.in, kPanel); ++index) {
    const Panel panel = panel_at(panels, index);
    Word* to = packed.backward_panels + panel.column * panels.words + begin * panel.vectors * kWidth;
    pack_rows(matrix, packed.dtype, panel.column, panel.vectors, 0, end - begin, to);
  }
}

// Both forms of outputs begin .. end, which begin with a whole vector and a whole word. scratch: kWidth rows of words
// and two of floats.
void pack_outputs(const LinearWeights& w, const Packed& packed, int64_t begin, int64_t end, Word* scratch) {
  auto* floats = reinterpret_cast<float*>(scratch + kWidth * packed.words);
  for (int64_t first = begin; first < end; first += kWidth) pack_vector(w, packed, first, scratch, floats);
  if (!packed.backward) return;
  const int64_t per_word = elements_per_word(w.dtype), words_end = divide_up(end, per_word);
  if (w.weight_dtype == DType::kF32) {
    const auto* rows = static_cast<const float*>(w.weight) + begin * w.in;
    return pack_backward(packed, {rows, DType::kF32, w.in, end - begin, w.in}, begin / per_word, words_end);
  }
  for (int64_t k = begin / per_word; k < words_end; ++k) {
    const int64_t rows = std::min(per_word, end - k * per_word);
    for (int64_t i = 0; i < rows; ++i) row_of(w, k * per_word + i, floats + i * w.in);
    pack_backward(packed, {floats, DType::kF32, w.in, rows, w.in}, k, k + 1);
  }
}

Word* pack_scratch(const Packed& packed) {
  const auto words = static_cast<size_t>(kWidth * packed.words + 2 * packed.in);
  return static_cast<Word*>(thread_scratch(Scratch::kTask, words * sizeof(Word)));
}

}  // namespace

Status pack_linear(Device* device, const LinearWeights& w, PackedLinear** out) {
  if (!can_pack(device, w, supports, kTakesTraining)) return kBadArgument;
  auto* packed = new (std::nothrow) Packed{};
  if (!packed) return kOutOfMemory;
  const int64_t padded = round_up(w.out, kWidth), per_word = elements_per_word(w.dtype);
  packed->in = w.in;
  packed->out = w.out;
  packed->dtype = w.dtype;
  packed->backward = w.use == LinearUse::kForwardAndBackward;
  packed->words = divide_up(w.in, per_word);
  const bool bytes = w.dtype == DType::kI8;
  int64_t words = padded * (packed->words + (bytes ? 3 : 1)) + (bytes ? w.in : 0);
  const int64_t forward_words = round_up(words, 16);  // 64 bytes
  if (packed->backward) {
    packed->backward_words = divide_up(w.out, per_word);
    words = forward_words + packed->backward_words * round_up(w.in, kWidth);
  }
  packed->bytes = static_cast<size_t>(words) * sizeof(Word);
  packed->memory = device->weights.allocate(packed->bytes);
  packed->panels = reinterpret_cast<Word*>(packed->memory.data());
  Word* scratch = packed->panels ? pack_scratch(*packed) : nullptr;
  if (!scratch) {
    free_linear(packed);
    return kOutOfMemory;
  }
  if (packed->backward) packed->backward_panels = packed->panels + forward_words;
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
  pack_outputs(w, *packed, 0, w.out, scratch);
  *out = packed;
  return kOk;
}

void free_linear(PackedLinear* packed) { delete static_cast<Packed*>(packed); }

Status repack_linear(Stream& stream, PackedLinear* base, const float* weight, const float* bias) {
  if (!can_repack(stream, base, weight, bias)) return kBadArgument;
  const Packed& packed = *static_cast<const Packed*>(base);
  const LinearWeights w{.weight = weight, .in = packed.in, .out = packed.out, .dtype = packed.dtype};
  if (bias) std::copy_n(bias, packed.out, packed.bias);
  if (!weight) return kOk;
  bool out_of_memory = false;
  run_tasks(stream, divide_up(packed.out, kOutputsPerTask), [&](int64_t task) {
    const int64_t begin = task * kOutputsPerTask;
    Word* scratch = pack_scratch(packed);
    if (scratch)
      pack_outputs(w, packed, begin, std::min(packed.out, begin + kOutputsPerTask), scratch);
    else
      __atomic_store_n(&out_of_memory, true, __ATOMIC_RELAXED);
  });
  return out_of_memory ? kOutOfMemory : kOk;
}

}  // namespace embedcore::cpu::EMBEDCORE_ISA
