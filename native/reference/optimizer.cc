// ops/optimizer.h
#include "ops/optimizer.h"

#include <algorithm>
#include <cmath>

#include "ops/checks.h"
#include "reference/ops.h"

namespace embedcore::reference {
namespace {

double sum_run(const float* x, int64_t elements) {
  double chains[kSumChains] = {};
  for (int64_t i = 0; i < elements; ++i) chains[i % kSumChains] += static_cast<double>(x[i]) * x[i];
  for (int64_t half = kSumChains / 2; half > 0; half /= 2)
    for (int64_t i = 0; i < half; ++i) chains[i] += chains[i + half];
  return chains[0];
}

}  // namespace

Status axpby(Stream& stream, const AxpbyArgs& args) {
  if (!can_run(stream, args)) return kBadArgument;
  for (int64_t i = 0; i < args.elements; ++i) {
    double value = args.x ? static_cast<double>(args.alpha) * args.x[i] : 0.0;
    if (args.beta != 0) value += static_cast<double>(args.beta) * args.y[i];
    args.y[i] = static_cast<float>(value);
  }
  return kOk;
}

Status sum_squares(Stream& stream, const SumSquaresArgs& args) {
  if (!can_run(stream, args)) return kBadArgument;
  double sum = args.add ? *args.sum : 0.0;
  for (int64_t i = 0; i < args.elements; i += kSumRun) sum += sum_run(args.x + i, std::min(kSumRun, args.elements - i));
  *args.sum = sum;
  return kOk;
}

Status adamw(Stream& stream, const AdamWArgs& args) {
  if (!can_run(stream, args)) return kBadArgument;
  for (int64_t i = 0; i < args.elements; ++i) {
    const double gradient = static_cast<double>(args.gradient_factor) * args.gradients[i];
    const double first = args.first[i] + (1 - args.beta1) * (gradient - args.first[i]);
    const double second = args.beta2 * args.second[i] + (1 - args.beta2) * gradient * gradient;
    const double decayed = args.values[i] * (1 - args.rate * args.decay);
    const double divisor = std::sqrt(second) / std::sqrt(args.correction2) + args.epsilon;
    args.values[i] = static_cast<float>(decayed - args.rate / args.correction1 * first / divisor);
    args.first[i] = static_cast<float>(first);
    args.second[i] = static_cast<float>(second);
  }
  return kOk;
}

}  // namespace embedcore::reference
