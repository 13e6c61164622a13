// Writes a safetensors file piece by piece: under a temporary name in the same directory, brought to the disk, then
// renamed. So the file is whole or not there, also if the process ends in the middle.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/dtype.h"

namespace embedcore {

struct TensorToWrite {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  // Writes elements first .. first + count to `to`, in `dtype`. May throw.
  std::function<void(int64_t first, int64_t count, std::byte* to)> read;
};

// Throws Error(kWriteFailed) with the reason of the system (disk full, no permission), and what `read` throws; the
// temporary file is then removed.
void write_safetensors(const std::string& path, std::span<const TensorToWrite> tensors,
                       const std::map<std::string, std::string>& metadata);

}  // namespace embedcore
