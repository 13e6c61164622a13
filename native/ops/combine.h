// Joins hidden states: y = x * factor (first) or y = y + x * factor (later). x, y [rows, width].
#pragma once

#include "ops/backend.h"

namespace embedcore {

struct CombineArgs {
  const float* x;
  int64_t x_stride;
  float* y;
  int64_t y_stride;
  int64_t rows, width;
  float factor;
  bool first;
};

}  // namespace embedcore
