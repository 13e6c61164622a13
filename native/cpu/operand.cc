#include "cpu/operand.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

namespace embedcore::cpu::EMBEDCORE_ISA {
namespace {

constexpr int64_t kRowsPerTask = 32;

void store_bytes(uint8_t* to, ByteVec bytes, int64_t n) {
  std::memcpy(to, &bytes, static_cast<size_t>(std::min<int64_t>(n, kWidth)));
}

void clear_last_word(Word* to, int64_t n, int64_t per_word) {
  if (n % per_word) to[n / per_word] = 0;
}

// u = clip(round(x / step) + zero, 0, 255), see ops/linear.h; x is multiplied by the reciprocals.
template <typename Element>
RowScale quantize_row(const Element* x, const float* reciprocals, int64_t n, Word* to) {
  // Two of each, because within a chain each step waits for the one before.
  Vec low[2] = {}, high[2] = {}, spoiled[2] = {};
  const auto look = [&](int chain, Vec value) {
    low[chain] = minimum(value, low[chain]);
    high[chain] = maximum(value, high[chain]);
    spoiled[chain] += value * broadcast(0.0f);
  };
  const int64_t pairs = n / (2 * kWidth) * (2 * kWidth), whole = n / kWidth * kWidth;
  const auto smoothed = [&](int64_t k) { return load(x + k) * load(reciprocals + k); };
  const auto smoothed_rest = [&] {
    return load_part(x + whole, n - whole) * load_part(reciprocals + whole, n - whole);
  };
  for (int64_t k = 0; k < pairs; k += 2 * kWidth) {
    look(0, smoothed(k));
    look(1, smoothed(k + kWidth));
  }
  if (pairs < whole) look(0, smoothed(pairs));
  if (whole < n) look(1, smoothed_rest());
  const bool finite = sum_lanes(spoiled[0] + spoiled[1]) == 0.0f;
  const RowRange range = finite ? row_range(min_lanes(minimum(low[0], low[1])), max_lanes(maximum(high[0], high[1])))
                                : RowRange{std::numeric_limits<float>::quiet_NaN(), 0.0f, 0};

  auto* bytes = reinterpret_cast<uint8_t*>(to);
  const Vec inverse = broadcast(range.inverse);
  const auto level = [&](Vec value) { return to_bytes(nearest(value * inverse) + range.zero); };
  for (int64_t k = 0; k < whole; k += kWidth) store_bytes(bytes + k, level(smoothed(k)), kWidth);
  if (whole < n) {
    clear_last_word(to, n, 4);
    store_bytes(bytes + whole, level(smoothed_rest()), n - whole);
  }
  return {range.step, range.zero};
}

void to_float32(const uint16_t* x, int64_t n, Word* to) {
  auto* floats = reinterpret_cast<float*>(to);
  for (int64_t k = 0; k < n; k += kWidth) store_upto(floats + k, load_upto(x + k, n - k), n - k);
}

template <typename Element>
void prepare_rows(const OperandRows& from, int64_t begin, int64_t end, Word* words, int64_t stride, RowScale* scales) {
  const int64_t in = from.width;
  for (int64_t row = begin; row < end; ++row) {
    const Element* x = static_cast<const Element*>(from.x) + row * from.stride;
    Word* to = words + row * stride;
    if (from.dtype == DType::kI8) scales[row] = quantize_row(x, from.reciprocals, in, to);
    if (from.dtype == DType::kBF16) to_bfloat16(x, in, to);
    if constexpr (std::is_same_v<Element, uint16_t>) {  // rows of floats need no conversion for float32 weights
      if (from.dtype == DType::kF32) to_float32(x, in, to);
    }
  }
}

}  // namespace

void to_bfloat16(const float* x, int64_t n, Word* to) {
  clear_last_word(to, n, 2);
  auto* halves = reinterpret_cast<uint16_t*>(to);
  for (int64_t k = 0; k < n; k += kWidth) store_upto(halves + k, load_upto(x + k, n - k), n - k);
}

void to_bfloat16(const uint16_t* x, int64_t n, Word* to) {
  clear_last_word(to, n, 2);
  std::memcpy(to, x, static_cast<size_t>(n) * sizeof(uint16_t));
}

float quantize_weights(const float* x, const float* smoothing, int64_t n, Word* to, int32_t& sum) {
  const auto smoothed = [&](int64_t k) {
    const Vec value = load_upto(x + k, n - k);
    return smoothing ? value * load_upto(smoothing + k, n - k) : value;
  };
  Vec most = {};
  for (int64_t k = 0; k < n; k += kWidth) {
    const Vec value = smoothed(k);
    most = maximum(maximum(value, -value), most);
  }
  const float greatest = max_lanes(most);
  const Vec inverse = broadcast(greatest > 1e-30f ? 127.0f / greatest : 0.0f);
  clear_last_word(to, n, 4);
  IntVec total = {};
  for (int64_t k = 0; k < n; k += kWidth) {
    const IntVec level = nearest(smoothed(k) * inverse);
    total += level;
    store_bytes(reinterpret_cast<uint8_t*>(to) + k, __builtin_convertvector(level, ByteVec), n - k);
  }
  sum = 0;
  for (int i = 0; i < kWidth; ++i) sum += total[i];
  return greatest / 127.0f;
}

bool prepare_operand(Stream& stream, const OperandRows& from, Operand& operand) {
  const int64_t per_word = elements_per_word(from.dtype);
  if (from.dtype == from.x_dtype && from.width % per_word == 0 && (from.stride % per_word == 0 || from.rows == 1)) {
    operand = {static_cast<const Word*>(from.x), from.stride / per_word, nullptr};
    return true;
  }
  const int64_t stride = round_up(divide_up(from.width, per_word), kWidth);
  auto* words = static_cast<Word*>(
      thread_scratch(Scratch::kShared,
                     static_cast<size_t>(from.rows) * (static_cast<size_t>(stride) * sizeof(Word) + sizeof(RowScale))));
  if (!words) return false;
  auto* scales = reinterpret_cast<RowScale*>(words + from.rows * stride);
  run_tasks(stream, divide_up(from.rows, kRowsPerTask), [&](int64_t task) {
    const int64_t begin = task * kRowsPerTask, end = std::min(from.rows, begin + kRowsPerTask);
    if (from.x_dtype == DType::kBF16)
      prepare_rows<uint16_t>(from, begin, end, words, stride, scales);
    else
      prepare_rows<float>(from, begin, end, words, stride, scales);
  });
  operand = {words, stride, scales};
  return true;
}

}  // namespace embedcore::cpu::EMBEDCORE_ISA
