// ops/dropout.h: the numbers of a piece of a row, then the piece.
#include "cpu/dropout.h"

#include <algorithm>
#include <cstring>

#include "cpu/backend.h"
#include "ops/checks.h"

namespace embedcore::cpu::EMBEDCORE_ISA {
namespace {

constexpr int64_t kPiece = 512;  // columns; a multiple of kNumbersAtOnce
constexpr int64_t kElementsPerTask = 1 << 14;

// Rounded alike by every instruction set.
void store_exactly(float* to, Vec value, int64_t n) { store_upto(to, value, n); }
void store_exactly(uint16_t* to, Vec value, int64_t n) {
  const HalfVec halves = narrow_kept(value);
  std::memcpy(to, &halves, static_cast<size_t>(std::min<int64_t>(n, kWidth)) * sizeof(uint16_t));
}

template <typename Element>
void drop_row(const DropoutArgs& args, const Dropped& dropped, int64_t row) {
  const auto* x = static_cast<const Element*>(args.x) + row * args.x_stride;
  auto* y = static_cast<Element*>(args.y) + row * args.y_stride;
  if (args.dropout.rate == 0) {
    if (x != y) std::memcpy(y, x, static_cast<size_t>(args.width) * sizeof(Element));
    return;
  }
  uint16_t numbers[kPiece];
  for (int64_t begin = 0; begin < args.width; begin += kPiece) {
    const int64_t end = std::min(args.width, begin + kPiece);
    dropout_numbers(args.dropout, args.dropout.rows + row, 1, begin, end - begin, numbers);
    for (int64_t c = begin; c < end; c += kWidth)
      store_exactly(y + c, dropped(load_upto(x + c, end - c), numbers + (c - begin)), end - c);
  }
}

}  // namespace

Status dropout(Stream& stream, const DropoutArgs& args) {
  if (!can_run(stream, args, supports)) return kBadArgument;
  if (args.rows == 0 || args.width == 0) return kOk;
  const Dropped dropped(args.dropout);
  const int64_t step = std::max<int64_t>(1, kElementsPerTask / args.width);
  run_tasks(stream, divide_up(args.rows, step), [&](int64_t task) {
    for (int64_t row = task * step; row < std::min(args.rows, (task + 1) * step); ++row) {
      if (args.dtype == DType::kBF16)
        drop_row<uint16_t>(args, dropped, row);
      else
        drop_row<float>(args, dropped, row);
    }
  });
  return kOk;
}

}  // namespace embedcore::cpu::EMBEDCORE_ISA
