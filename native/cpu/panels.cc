#include "cpu/panels.h"

#include "cpu/operand.h"

namespace embedcore::cpu::EMBEDCORE_ISA {
namespace {

// The bits of x in bfloat16, in the upper half of each word; the lower half is anything.
inline WordVec bfloat16_above(Vec x) {
#if defined(__AVX512BF16__)
  return reinterpret_cast<WordVec>(widen(narrow(x)));
#else
  const WordVec bits = reinterpret_cast<WordVec>(x);
  const WordVec rounded = bits + 0x7fff + ((bits >> 16) & 1);
  return reinterpret_cast<WordVec>(x == x ? rounded : (bits | 0x400000));
#endif
}

constexpr int64_t kAhead = 8;  // words from one that is packed to one that is prefetched

// Two rows of floats as words, or one.
template <bool kPairs>
inline IntVec make_words(Vec low, Vec high) {
  if constexpr (!kPairs) return reinterpret_cast<IntVec>(low);
  return reinterpret_cast<IntVec>((bfloat16_above(low) >> 16) | (bfloat16_above(high) & 0xffff0000u));
}

template <typename Element, bool kPairs>
void pack_rows_of(const Matrix& matrix, int64_t column, int64_t vectors, int64_t begin, int64_t end, Word* to) {
  constexpr int64_t kPerWord = kPairs ? 2 : 1;
  const Vec scale = broadcast(matrix.scale);
  const int64_t left = matrix.columns - column;
  const auto row_at = [&](int64_t row) {
    return row < 0 || row >= matrix.rows ? nullptr
                                         : static_cast<const Element*>(matrix.data) + row * matrix.stride + column;
  };
  for (int64_t k = begin; k < end; ++k, to += vectors * kWidth) {
    const int64_t row = matrix.first + k * kPerWord;
    const Element* low = row_at(row);
    const Element* high = kPairs ? row_at(row + 1) : low;
    if (low && high && left >= vectors * kWidth) {
      // The pieces of the rows are far apart, so the processor does not prefetch them.
      const int64_t ahead = kAhead * kPerWord * matrix.stride;
      for (int64_t c = 0; c < vectors * kWidth; c += kWidth) {
        __builtin_prefetch(low + ahead + c);
        if constexpr (kPairs) __builtin_prefetch(high + ahead + c);
        store_words(to + c, make_words<kPairs>(load(low + c) * scale, load(high + c) * scale));
      }
      continue;
    }
    for (int64_t c = 0; c < vectors * kWidth; c += kWidth) {
      const auto value = [&](const Element* from) {
        return from && c < left ? load_upto(from + c, left - c) * scale : Vec{};
      };
      store_words(to + c, make_words<kPairs>(value(low), value(high)));
    }
  }
}

}  // namespace

void pack_rows(const Matrix& matrix, DType dtype, int64_t column, int64_t vectors, int64_t begin, int64_t end,
               Word* to) {
  const bool pairs = dtype == DType::kBF16;
  if (matrix.dtype == DType::kBF16)
    pairs ? pack_rows_of<uint16_t, true>(matrix, column, vectors, begin, end, to)
          : pack_rows_of<uint16_t, false>(matrix, column, vectors, begin, end, to);
  else
    pairs ? pack_rows_of<float, true>(matrix, column, vectors, begin, end, to)
          : pack_rows_of<float, false>(matrix, column, vectors, begin, end, to);
}

void pack_columns(const Matrix& matrix, DType dtype, int64_t column, Word* to, int64_t to_stride, Word* scratch) {
  const int64_t words = divide_up(matrix.columns, elements_per_word(dtype));
  Word* const zeros = scratch + kWidth * words;
  std::fill_n(zeros, words, 0);
  const Word* from[kWidth];
  for (int64_t i = 0; i < kWidth; ++i) {
    const int64_t row = matrix.first + column + i;
    if (row < 0 || row >= matrix.rows) {
      from[i] = zeros;
      continue;
    }
    const float* floats = static_cast<const float*>(matrix.data) + row * matrix.stride;
    Word* const own = scratch + i * words;
    const Vec scale = broadcast(matrix.scale);
    const auto convert = [&](auto* to_elements) {
      for (int64_t k = 0; k < matrix.columns; k += kWidth)
        store_upto(to_elements + k, load_upto(floats + k, matrix.columns - k) * scale, matrix.columns - k);
    };
    own[words - 1] = 0;  // whose second half may be missing
    if (dtype == DType::kBF16)
      convert(reinterpret_cast<uint16_t*>(own));
    else
      convert(reinterpret_cast<float*>(own));
    from[i] = own;
  }
  transpose_columns(from, kWidth, words, to, to_stride);
}

}  // namespace embedcore::cpu::EMBEDCORE_ISA
