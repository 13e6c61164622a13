// Layer fusion, one hidden state at a time: y = x * factor (first) or y = y + x * factor (later). x, y [rows, width].
#pragma once

#include "ops/backend.h"

namespace embedcore {

struct FuseArgs {
  const float* x = nullptr;
  int64_t x_stride = 0;
  float* y = nullptr;
  int64_t y_stride = 0;
  int64_t rows = 0, width = 0;
  float factor = 1;
  bool first = false;
};

}  // namespace embedcore
