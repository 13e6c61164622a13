// ops/gate.h
#include "ops/gate.h"

#include "reference/activation.h"
#include "reference/ops.h"

namespace embedcore::reference {

Status gate(Scope&, const GateArgs& args) {
  for (int64_t row = 0; row < args.rows; ++row) {
    const float* x = args.x + row * args.x_stride;
    float* y = args.y + row * args.y_stride;
    for (int64_t j = 0; j < args.width; ++j) y[j] = static_cast<float>(activate(args.activation, x[j]) * x[args.width + j]);
  }
  return kOk;
}

}  // namespace embedcore::reference
