// ops/gate.h
#include "ops/gate.h"

#include <algorithm>

#include "cpu/backend.h"
#include "cpu/math.h"

namespace embedcore::cpu::EMBEDCORE_ISA {

Status gate(Scope& scope, const GateArgs& args) {
  constexpr int64_t kRowsPerTask = 32;
  run_tasks(scope, (args.rows + kRowsPerTask - 1) / kRowsPerTask, [&](int64_t task) {
    const int64_t end = std::min(args.rows, (task + 1) * kRowsPerTask);
    with_activation(args.activation, [&]<Activation kActivation>() {
      for (int64_t row = task * kRowsPerTask; row < end; ++row) {
        const float* x = args.x + row * args.x_stride;
        float* y = args.y + row * args.y_stride;
        const int64_t whole = args.width / kWidth * kWidth, rest = args.width - whole;
        for (int64_t i = 0; i < whole; i += kWidth) store(y + i, activate<kActivation>(load(x + i)) * load(x + args.width + i));
        if (rest) store_part(y + whole, activate<kActivation>(load_part(x + whole, rest)) * load_part(x + args.width + whole, rest), rest);
      }
    });
  });
  return kOk;
}

}  // namespace embedcore::cpu::EMBEDCORE_ISA
