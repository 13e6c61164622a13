// The kernels of linear, each family in a source of its own. `index`: into the list of tiles of linear_tile.h.
#pragma once

#include "linear_tile.h"
#include "runtime.h"

namespace embedcore::cuda {

struct TileArgs;
struct FloatArgs;

Error launch_float(StreamHandle stream, int index, const FloatArgs& args);
Error launch_bf16(StreamHandle stream, int index, const TileArgs& args);
Error launch_f16(StreamHandle stream, int index, const TileArgs& args);
Error launch_int8(StreamHandle stream, int index, const TileArgs& args);
// A block for each multiprocessor, at most.
Error launch_bf16_sm90(StreamHandle stream, int index, const TileArgs& args, int multiprocessors);
Error launch_f16_sm90(StreamHandle stream, int index, const TileArgs& args, int multiprocessors);
Error launch_f16_sm75(StreamHandle stream, int index, const TileArgs& args);
Error launch_int8_sm75(StreamHandle stream, int index, const TileArgs& args);

}  // namespace embedcore::cuda
