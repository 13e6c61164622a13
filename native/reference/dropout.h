// The mask of ops/dropout.h, element by element.
#pragma once

#include "ops/dropout.h"

namespace embedcore::reference {

// 0, or the factor of an element that is kept.
inline float dropout_scale(const Dropout& dropout, int64_t row, int64_t column) {
  if (dropout.rate == 0) return 1;
  const RowKey key = dropout.rows[row];
  const PhiloxWords words = philox({{static_cast<uint32_t>(column / 8), static_cast<uint32_t>(key.token),
                                     static_cast<uint32_t>(key.text), dropout.site}},
                                   dropout.seed);
  return dropout_number(words, column) >= dropout_threshold(dropout.rate) ? dropout_factor(dropout.rate) : 0.0f;
}

// x times the scale; what is dropped is 0 even if it was not finite.
inline double dropped(const Dropout& dropout, int64_t row, int64_t column, double x) {
  const float scale = dropout_scale(dropout, row, column);
  return scale == 0 ? 0.0 : x * static_cast<double>(scale);
}

}  // namespace embedcore::reference
