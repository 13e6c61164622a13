// ops/dropout.h. The product of two floats is exact in float64, so the result is rounded once.
#include "reference/dropout.h"

#include "ops/checks.h"
#include "reference/ops.h"
#include "reference/rows.h"

namespace embedcore::reference {

Status dropout(Stream& stream, const DropoutArgs& args) {
  if (!can_run(stream, args, supports)) return kBadArgument;
  for (int64_t row = 0; row < args.rows; ++row)
    for (int64_t c = 0; c < args.width; ++c)
      write(args.y, args.dtype, row * args.y_stride + c,
            dropped(args.dropout, row, c, read(args.x, args.dtype, row * args.x_stride + c)));
  return kOk;
}

}  // namespace embedcore::reference
