// ops/gate.h
#include "ops/gate.h"

#include <algorithm>

#include "cpu/backend.h"
#include "cpu/math.h"

namespace embedcore::cpu::EMBEDCORE_ISA {
namespace {

constexpr int64_t kRowsPerTask = 32;

template <Activation kActivation, typename Element>
void gate_row(const GateArgs& args, int64_t row) {
  const Element* x = static_cast<const Element*>(args.x) + row * args.x_stride;
  Element* y = static_cast<Element*>(args.y) + row * args.y_stride;
  for (int64_t i = 0; i < args.width; i += kWidth) {
    const int64_t left = args.width - i;
    store_upto(y + i, activate_for<kActivation, Element>(load_upto(x + i, left)) * load_upto(x + args.width + i, left),
               left);
  }
}

}  // namespace

Status gate(Scope& scope, const GateArgs& args) {
  run_tasks(scope, divide_up(args.rows, kRowsPerTask), [&](int64_t task) {
    const int64_t end = std::min(args.rows, (task + 1) * kRowsPerTask);
    with_activation(args.activation, [&]<Activation kActivation>() {
      for (int64_t row = task * kRowsPerTask; row < end; ++row)
        args.dtype == DType::kBF16 ? gate_row<kActivation, uint16_t>(args, row)
                                   : gate_row<kActivation, float>(args, row);
    });
  });
  return kOk;
}

}  // namespace embedcore::cpu::EMBEDCORE_ISA
