// ops/optimizer.h. All of it is bound by memory: every element is read and written once. Zeros over zeros are not
// written: the system gives fresh memory as pages of zeros, which take no room until they are written, and most rows of
// an embedding table never get a gradient.
#include "ops/optimizer.h"

#include <algorithm>
#include <cmath>

#include "cpu/backend.h"
#include "cpu/simd.h"
#include "ops/checks.h"

namespace embedcore::cpu::EMBEDCORE_ISA {
namespace {

constexpr int64_t kElementsPerTask = 16384;

// Calls visit(first, count) for each vector of the elements, in tasks; count is at most kWidth.
template <typename Visitor>
void each_vector(Stream& stream, int64_t elements, Visitor&& visit) {
  run_tasks(stream, divide_up(elements, kElementsPerTask), [&](int64_t task) {
    int64_t i = task * kElementsPerTask;
    const int64_t end = std::min(elements, i + kElementsPerTask);
    for (; i + kWidth <= end; i += kWidth) visit(i, int64_t{kWidth});
    if (i < end) visit(i, end - i);
  });
}

// --- the sum of squares ---

constexpr int kDoubles = kWidth / 2;

// The square is exact, so it does not matter whether the addition is fused with it.
void add_square(DoubleVec& sum, const float* from) {
  const DoubleVec x = load_doubles(from);
  sum += x * x;
}

double sum_run(const float* x, int64_t elements) {
  constexpr int kGroup = 8;  // vectors of sums that fit the registers of each set
  constexpr int kVectors = static_cast<int>(kSumChains) / kDoubles, kSums = std::min(kGroup, kVectors);
  const int64_t whole = elements / kSumChains * kSumChains;
  double chains[kSumChains];
  for (int first = 0; first < kVectors; first += kSums) {
    DoubleVec sum[kSums] = {};
    for (int64_t i = 0; i < whole; i += kSumChains)
#pragma GCC unroll 8
      for (int v = 0; v < kSums; ++v) add_square(sum[v], x + i + (first + v) * kDoubles);
    std::memcpy(chains + first * kDoubles, sum, sizeof sum);
  }
  for (int64_t i = whole; i < elements; ++i) chains[i - whole] += static_cast<double>(x[i]) * x[i];
  for (int64_t half = kSumChains / 2; half > 0; half /= 2)
    for (int64_t i = 0; i < half; ++i) chains[i] += chains[i + half];
  return chains[0];
}

constexpr int64_t kRunsPerTask = 8, kRunsPerWave = 1024;  // a wave's sums fit the stack

// --- AdamW ---

struct AdamWConstants {
  Vec kept, factor, share1, beta2, share2, step, correction, epsilon;
};

AdamWConstants constants_of(const AdamWArgs& args) {
  const auto constant = [](double value) { return broadcast(static_cast<float>(value)); };
  return {.kept = constant(1 - args.rate * args.decay),
          .factor = broadcast(args.gradient_factor),
          .share1 = constant(1 - args.beta1),
          .beta2 = constant(args.beta2),
          .share2 = constant(1 - args.beta2),
          .step = constant(-args.rate / args.correction1),
          .correction = constant(1 / std::sqrt(args.correction2)),
          .epsilon = constant(args.epsilon)};
}

}  // namespace

Status axpby(Stream& stream, const AxpbyArgs& args) {
  if (!can_run(stream, args)) return kBadArgument;
  const Vec alpha = broadcast(args.alpha), beta = broadcast(args.beta);
  each_vector(stream, args.elements, [&](int64_t i, int64_t count) {
    Vec value = {};
    if (args.beta != 0.0f) value = beta * load_upto(args.y + i, count);
    if (args.x) value = alpha * load_upto(args.x + i, count) + value;
    if (any_bit(bits_of(value) | bits_of(load_upto(args.y + i, count)))) store_upto(args.y + i, value, count);
  });
  return kOk;
}

Status sum_squares(Stream& stream, const SumSquaresArgs& args) {
  if (!can_run(stream, args)) return kBadArgument;
  const int64_t runs = divide_up(args.elements, kSumRun);
  double sum = args.add ? *args.sum : 0.0;
  for (int64_t begin = 0; begin < runs; begin += kRunsPerWave) {
    const int64_t end = std::min(runs, begin + kRunsPerWave);
    double sums[kRunsPerWave];
    run_tasks(stream, divide_up(end - begin, kRunsPerTask), [&](int64_t task) {
      const int64_t first = begin + task * kRunsPerTask, last = std::min(end, first + kRunsPerTask);
      for (int64_t run = first; run < last; ++run)
        sums[run - begin] = sum_run(args.x + run * kSumRun, std::min(kSumRun, args.elements - run * kSumRun));
    });
    for (int64_t run = begin; run < end; ++run) sum += sums[run - begin];
  }
  *args.sum = sum;
  return kOk;
}

Status adamw(Stream& stream, const AdamWArgs& args) {
  if (!can_run(stream, args)) return kBadArgument;
  const AdamWConstants c = constants_of(args);
  each_vector(stream, args.elements, [&](int64_t i, int64_t count) {
    const Vec gradient = c.factor * load_upto(args.gradients + i, count);
    Vec first = load_upto(args.first + i, count), second = load_upto(args.second + i, count);
    const IntVec before = bits_of(first) | bits_of(second);
    first += c.share1 * (gradient - first);
    second = c.beta2 * second + c.share2 * gradient * gradient;
    const Vec divisor = square_root(second) * c.correction + c.epsilon;
    const Vec value = load_upto(args.values + i, count) * c.kept + c.step * first / divisor;
    store_upto(args.values + i, value, count);
    if (!any_bit(before | bits_of(first) | bits_of(second))) return;
    store_upto(args.first + i, first, count);
    store_upto(args.second + i, second, count);
  });
  return kOk;
}

}  // namespace embedcore::cpu::EMBEDCORE_ISA
