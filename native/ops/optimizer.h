// Operations on the flat blocks of parameters, gradients and moments (model/parameters.h), all float32.
#pragma once

#include "ops/backend.h"

namespace embedcore {

// y = alpha x + beta y. x null counts as zeros; with beta = 0 it does not matter what y held. y may be x.
struct AxpbyArgs {
  const float* x = nullptr;
  float* y = nullptr;
  int64_t elements = 0;
  float alpha = 1, beta = 0;
};

// *sum = sum_i x_i^2 (add: +=). NaN or infinite if any x is.
// Squares of floats are exact in double, and the additions have one order, so the sum has the same bits on every
// backend: x is cut into runs of kSumRun elements; element i of a run belongs to chain i % kSumChains; a chain adds its
// squares in order, beginning with 0; the upper half of the chains is added to the lower half until one is left, and
// these sums of the runs are added in order, beginning with 0 or the value that is there.
constexpr int64_t kSumRun = 4096;
constexpr int64_t kSumChains = 32;

struct SumSquaresArgs {
  const float* x = nullptr;
  int64_t elements = 0;
  double* sum = nullptr;  // [1], device memory
  bool add = false;
};

// AdamW (Loshchilov and Hutter 2019) as torch.optim.AdamW computes it, with g = gradient_factor * gradient:
//   p -= rate decay p;  m += (1 - beta1) (g - m);  v = beta2 v + (1 - beta2) g^2
//   p -= rate / correction1 * m / (sqrt(v) / sqrt(correction2) + epsilon)
// where correction = 1 - beta^step. All in float32, with constants made in double. Elements are independent; one that
// is not finite spoils only itself.
struct AdamWArgs {
  float* values = nullptr;
  const float* gradients = nullptr;
  float* first = nullptr;   // m
  float* second = nullptr;  // v
  int64_t elements = 0;
  double rate = 0, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, decay = 0;  // at least 0, the betas below 1
  double correction1 = 1, correction2 = 1;                                 // above 0, at most 1
  float gradient_factor = 1;                                               // of clipping
};

}  // namespace embedcore
