// ops/activation.h
#include "ops/activation.h"

#include <algorithm>

#include "cpu/backend.h"
#include "cpu/math.h"
#include "ops/checks.h"

namespace embedcore::cpu::EMBEDCORE_ISA {
namespace {

constexpr int64_t kRowsPerTask = 32;

template <Activation kActivation, bool kGated, typename Element>
void activate_row(const ActivationArgs& args, int64_t row) {
  const Element* x = static_cast<const Element*>(args.x) + row * args.x_stride;
  Element* y = static_cast<Element*>(args.y) + row * args.y_stride;
  for (int64_t i = 0; i < args.width; i += kWidth) {
    const int64_t left = args.width - i;
    Vec value = activate_for<kActivation, Element>(load_upto(x + i, left));
    if constexpr (kGated) value = value * load_upto(x + args.width + i, left);
    store_upto(y + i, value, left);
  }
}

template <Activation kActivation, bool kGated>
void activate_rows(const ActivationArgs& args, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row)
    args.dtype == DType::kBF16 ? activate_row<kActivation, kGated, uint16_t>(args, row)
                               : activate_row<kActivation, kGated, float>(args, row);
}

}  // namespace

Status activation(Stream& stream, const ActivationArgs& args) {
  if (!can_run(stream, args, supports)) return kBadArgument;
  run_tasks(stream, divide_up(args.rows, kRowsPerTask), [&](int64_t task) {
    const int64_t begin = task * kRowsPerTask, end = std::min(args.rows, begin + kRowsPerTask);
    with_activation(args.activation, [&]<Activation kActivation>() {
      args.gated ? activate_rows<kActivation, true>(args, begin, end)
                 : activate_rows<kActivation, false>(args, begin, end);
    });
  });
  return kOk;
}

}  // namespace embedcore::cpu::EMBEDCORE_ISA
