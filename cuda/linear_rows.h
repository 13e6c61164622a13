// The rows of x as the kernels of linear read them: in the dtype of the arithmetic, beginning at multiples of 16 bytes.
#pragma once

#include "pack.h"

namespace embedcore::cuda {

struct PreparedRows {
  const void* x = nullptr;
  int64_t stride = 0, bytes = 0;  // of a row, in bytes; what follows up to Packed::row_bytes counts as zeros
  // int8: of each row.
  const float* step = nullptr;
  const int32_t* zero = nullptr;
};

// The rows where they are if they can be read as they are, else rows in the stream's scratch memory. `more` receives
// more_bytes of that memory, 256-byte aligned, because there is only one such memory.
Status prepare_rows(Stream& stream, const LinearArgs& args, PreparedRows& rows, size_t more_bytes = 0,
                    std::byte** more = nullptr);

}  // namespace embedcore::cuda
