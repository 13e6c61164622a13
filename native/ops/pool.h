// One vector a text from its token vectors, x [tokens, width] -> y [texts, width].
// The first skip[i] tokens of text i are left out (a prompt); n is the number that remains, in the order of the text.
//   kCls           x of the first token that remains (a skip leaves out the [CLS], as in sentence-transformers 6)
//   kMean          sum / max(n, 1e-9)
//   kMax           elementwise maximum
//   kMeanSqrtLen   sum / sqrt(max(n, 1e-9))
//   kWeightedMean  sum_t p_t x_t / sum_t p_t, p_t = 1, 2, ... counted from the text's first token (SGPT)
//   kLastToken     x of the last token
// A text with no tokens left gives zeros.
#pragma once

#include "ops/backend.h"

namespace embedcore {

enum class Pooling : int32_t { kCls, kMean, kMax, kMeanSqrtLen, kWeightedMean, kLastToken };

struct PoolArgs {
  Pooling mode = Pooling::kMean;
  const float* x = nullptr;
  int64_t x_stride = 0;
  float* y = nullptr;
  int64_t y_stride = 0;
  const int32_t* offsets = nullptr;  // [texts + 1]
  const int32_t* skip = nullptr;     // [texts] or null
  int64_t texts = 0, width = 0;
};

// dx [tokens, width], every token written: what dy [texts, width] gives it, and zeros for a token that is left out.
// kMax gives it to the first token that has the maximum (the first NaN, if there is one), which it finds in x; other
// modes do not read x. With `add`, dx += instead.
struct PoolGradientArgs {
  Pooling mode = Pooling::kMean;
  const float* x = nullptr;
  int64_t x_stride = 0;
  const float* dy = nullptr;
  int64_t dy_stride = 0;
  float* dx = nullptr;
  int64_t dx_stride = 0;
  const int32_t* offsets = nullptr;
  const int32_t* skip = nullptr;
  int64_t texts = 0, width = 0;
  bool add = false;
};

}  // namespace embedcore
