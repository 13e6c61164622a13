#include "ops/word_kernels.h"

#include <cmath>
#include <vector>

namespace embedcore {

namespace {

float step(const float* h, float* const* rows, const float* labels, int64_t count, float rate, float* e, int64_t width,
           bool want_loss) {
  std::vector<double> g(static_cast<size_t>(count)), sum(static_cast<size_t>(width));
  double loss = 0;
  for (int64_t j = 0; j < count; ++j) {
    double score = 0;
    for (int64_t d = 0; d < width; ++d) score += static_cast<double>(h[d]) * rows[j][d];
    g[static_cast<size_t>(j)] = (labels[j] - 1 / (1 + std::exp(-score))) * static_cast<double>(rate);
    if (want_loss) loss += std::log1p(std::exp(labels[j] == 1.0f ? -score : score));
  }
  for (int64_t j = 0; j < count; ++j) {
    for (int64_t d = 0; d < width; ++d) {
      sum[static_cast<size_t>(d)] += g[static_cast<size_t>(j)] * rows[j][d];
      rows[j][d] = static_cast<float>(rows[j][d] + g[static_cast<size_t>(j)] * h[d]);
    }
  }
  for (int64_t d = 0; d < width; ++d) e[d] = static_cast<float>(sum[static_cast<size_t>(d)]);
  return static_cast<float>(loss);
}

void gather(float* const* rows, int64_t count, float factor, float* to, int64_t width) {
  for (int64_t d = 0; d < width; ++d) {
    double sum = 0;
    for (int64_t j = 0; j < count; ++j) sum += rows[j][d];
    to[d] = static_cast<float>(sum * factor);
  }
}

void scatter(float* const* rows, int64_t count, float factor, const float* e, int64_t width) {
  for (int64_t j = 0; j < count; ++j)
    for (int64_t d = 0; d < width; ++d)
      rows[j][d] = static_cast<float>(rows[j][d] + static_cast<double>(factor) * e[d]);
}

}  // namespace

const WordKernels kReferenceWordKernels = {step, gather, scatter};

}  // namespace embedcore
