// The steps of ops/word_kernels.h. h and e stay in registers while the rows go by; columns are taken kColumns vectors
// at a time.
#include "ops/word_kernels.h"

#include "cpu/backend.h"
#include "cpu/math.h"

namespace embedcore::cpu::EMBEDCORE_ISA {

namespace {

#if defined(__AVX512F__)
constexpr int kColumns = 8;
#else
constexpr int kColumns = 4;
#endif
static_assert(kRowFloats % kWidth == 0 && kMostTargets % kWidth == 0);

// Calls visit<vectors>(first column) for the columns of a row.
template <typename Visitor>
[[gnu::always_inline]] inline void each_columns(int64_t width, Visitor&& visit) {
  int64_t d = 0;
  for (; d + kColumns * kWidth <= width; d += kColumns * kWidth) visit.template operator()<kColumns>(d);
  if constexpr (kColumns > 4) {
    if (d + 4 * kWidth <= width) {
      visit.template operator()<4>(d);
      d += 4 * kWidth;
    }
  }
  if (d + 2 * kWidth <= width) {
    visit.template operator()<2>(d);
    d += 2 * kWidth;
  }
  if (d < width) visit.template operator()<1>(d);
}

float dot(const float* a, const float* b, int64_t width) {
  Vec first = {}, second = {};
  int64_t d = 0;
  for (; d + 2 * kWidth <= width; d += 2 * kWidth) {
    first += load(a + d) * load(b + d);
    second += load(a + d + kWidth) * load(b + d + kWidth);
  }
  if (d < width) first += load(a + d) * load(b + d);
  return sum_lanes(first + second);
}

float step(const float* h, float* const* rows, const float* labels, int64_t count, float rate, float* e, int64_t width,
           bool want_loss) {
  float g[kMostTargets];
  for (int64_t j = 0; j < count; ++j) g[j] = dot(h, rows[j], width);
  float loss = 0;
  if (want_loss)
    for (int64_t j = 0; j < count; ++j) loss += __builtin_log1pf(__builtin_expf(labels[j] == 1.0f ? -g[j] : g[j]));
  for (int64_t j = 0; j < count; j += kWidth) {
    const Vec probability = broadcast(1.0f) / (broadcast(1.0f) + exp(-load_upto(g + j, count - j)));
    store(g + j, (load_upto(labels + j, count - j) - probability) * broadcast(rate));
  }
  each_columns(width, [&]<int kVectors>(int64_t d) {
    Vec h_part[kVectors], e_part[kVectors] = {};
#pragma GCC unroll 8
    for (int i = 0; i < kVectors; ++i) h_part[i] = load(h + d + i * kWidth);
    for (int64_t j = 0; j < count; ++j) {
      const Vec factor = broadcast(g[j]);
      float* v = rows[j] + d;
#pragma GCC unroll 8
      for (int i = 0; i < kVectors; ++i) {
        const Vec x = load(v + i * kWidth);
        e_part[i] += factor * x;
        store(v + i * kWidth, x + factor * h_part[i]);
      }
    }
#pragma GCC unroll 8
    for (int i = 0; i < kVectors; ++i) store(e + d + i * kWidth, e_part[i]);
  });
  return loss;
}

void gather(float* const* rows, int64_t count, float factor, float* to, int64_t width) {
  each_columns(width, [&]<int kVectors>(int64_t d) {
    Vec sum[kVectors] = {};
    for (int64_t j = 0; j < count; ++j) {
#pragma GCC unroll 8
      for (int i = 0; i < kVectors; ++i) sum[i] += load(rows[j] + d + i * kWidth);
    }
#pragma GCC unroll 8
    for (int i = 0; i < kVectors; ++i) store(to + d + i * kWidth, sum[i] * broadcast(factor));
  });
}

void scatter(float* const* rows, int64_t count, float factor, const float* e, int64_t width) {
  each_columns(width, [&]<int kVectors>(int64_t d) {
    Vec add[kVectors];
#pragma GCC unroll 8
    for (int i = 0; i < kVectors; ++i) add[i] = load(e + d + i * kWidth) * broadcast(factor);
    for (int64_t j = 0; j < count; ++j) {
      float* v = rows[j] + d;
#pragma GCC unroll 8
      for (int i = 0; i < kVectors; ++i) store(v + i * kWidth, load(v + i * kWidth) + add[i]);
    }
  });
}

}  // namespace

const WordKernels kWordKernels = {step, gather, scatter};

}  // namespace embedcore::cpu::EMBEDCORE_ISA
