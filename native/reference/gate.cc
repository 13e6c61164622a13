// ops/gate.h
#include "ops/gate.h"

#include "reference/activation.h"
#include "reference/ops.h"
#include "reference/rows.h"

namespace embedcore::reference {

Status gate(Scope&, const GateArgs& args) {
  for (int64_t row = 0; row < args.rows; ++row) {
    for (int64_t j = 0; j < args.width; ++j) {
      const double x = read(args.x, args.dtype, row * args.x_stride + j),
                   up = read(args.x, args.dtype, row * args.x_stride + args.width + j);
      write(args.y, args.dtype, row * args.y_stride + j, activate(args.activation, x) * up);
    }
  }
  return kOk;
}

}  // namespace embedcore::reference
