// ops/activation.h
#include "ops/activation.h"

#include <algorithm>

#include "cpu/backend.h"
#include "cpu/slope.h"
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

// One pass: y and the gradients share the exponential or erf of each element.
template <Activation kActivation, bool kGated, typename Element>
void gradient_row(const ActivationGradientArgs& args, int64_t row) {
  const Element* x = static_cast<const Element*>(args.x) + row * args.x_stride;
  const float* dy = args.dy + row * args.dy_stride;
  float* dx = args.dx + row * args.dx_stride;
  Element* y = args.y ? static_cast<Element*>(args.y) + row * args.y_stride : nullptr;
  for (int64_t i = 0; i < args.width; i += kWidth) {
    const int64_t left = args.width - i;
    auto [value, slope] = activate_with_slope_for<kActivation, Element>(load_upto(x + i, left));
    Vec gradient = load_upto(dy + i, left);
    if constexpr (kGated) {
      const Vec up = load_upto(x + args.width + i, left);
      store_upto(dx + args.width + i, gradient * value, left);
      gradient = gradient * up;
      value = value * up;
    }
    store_upto(dx + i, gradient * slope, left);
    if (y) store_upto(y + i, value, left);
  }
}

template <Activation kActivation, bool kGated>
void gradient_rows(const ActivationGradientArgs& args, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row)
    args.dtype == DType::kBF16 ? gradient_row<kActivation, kGated, uint16_t>(args, row)
                               : gradient_row<kActivation, kGated, float>(args, row);
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

Status activation_gradient(Stream& stream, const ActivationGradientArgs& args) {
  if (!can_run(stream, args, supports)) return kBadArgument;
  run_tasks(stream, divide_up(args.rows, kRowsPerTask), [&](int64_t task) {
    const int64_t begin = task * kRowsPerTask, end = std::min(args.rows, begin + kRowsPerTask);
    with_activation(args.activation, [&]<Activation kActivation>() {
      args.gated ? gradient_rows<kActivation, true>(args, begin, end)
                 : gradient_rows<kActivation, false>(args, begin, end);
    });
  });
  return kOk;
}

}  // namespace embedcore::cpu::EMBEDCORE_ISA
