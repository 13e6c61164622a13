// ops/vectors.h
#include "ops/vectors.h"

#include <algorithm>
#include <cmath>

#include "cpu/backend.h"
#include "cpu/simd.h"

namespace embedcore::cpu::EMBEDCORE_ISA {
namespace {

constexpr int64_t kRowsPerTask = 64;

template <Similarity kKind>
Vec term(Vec a, Vec b) {
  if constexpr (kKind == Similarity::kEuclidean) return (a - b) * (a - b);
  if constexpr (kKind == Similarity::kManhattan) return maximum(a - b, b - a);
  return a * b;
}

template <Similarity kKind>
float sum_terms(const float* a, const float* b, int64_t width) {
  const int64_t whole = width / kWidth * kWidth;
  Vec total = {};
  for (int64_t i = 0; i < whole; i += kWidth) total += term<kKind>(load(a + i), load(b + i));
  if (whole < width) total += term<kKind>(load_part(a + whole, width - whole), load_part(b + whole, width - whole));
  return sum_lanes(total);
}

float length_of(const float* x, int64_t width) {
  return std::max(std::sqrt(sum_terms<Similarity::kDot>(x, x, width)), 1e-12f);
}

float compare(Similarity kind, const float* a, const float* b, int64_t width) {
  switch (kind) {
    case Similarity::kCosine:
      return sum_terms<Similarity::kDot>(a, b, width) / length_of(a, width) / length_of(b, width);
    case Similarity::kDot: return sum_terms<Similarity::kDot>(a, b, width);
    case Similarity::kEuclidean: return -std::sqrt(sum_terms<Similarity::kEuclidean>(a, b, width));
    case Similarity::kManhattan: return -sum_terms<Similarity::kManhattan>(a, b, width);
  }
  return 0.0f;
}

uint8_t quantize_level(const QuantizeArgs& args, const float* x, int64_t d) {
  const float step = (args.maximum[d] - args.minimum[d]) / 255.0f;
  const float steps = std::floor((x[d] - args.minimum[d]) / (step == 0.0f ? 1.0f : step));
  if (!(steps > 0.0f)) return 0;  // a NaN too, which has no integer
  return steps < 255.0f ? static_cast<uint8_t>(steps) : 255;
}

void quantize_row(const QuantizeArgs& args, int64_t row) {
  const float* x = args.x + row * args.width;
  if (args.precision == Precision::kInt8 || args.precision == Precision::kUint8) {
    const int offset = args.precision == Precision::kInt8 ? 128 : 0;
    uint8_t* y = args.y + row * args.width;
    for (int64_t d = 0; d < args.width; ++d) y[d] = static_cast<uint8_t>(quantize_level(args, x, d) - offset);
    return;
  }
  const int64_t bytes = (args.width + 7) / 8;
  const int offset = args.precision == Precision::kBinary ? 128 : 0;
  uint8_t* y = args.y + row * bytes;
  for (int64_t b = 0; b < bytes; ++b) {
    int value = 0;
    for (int64_t bit = 0; bit < 8; ++bit) {
      const int64_t d = b * 8 + bit;
      if (d < args.width && x[d] > 0.0f) value |= 0x80 >> bit;
    }
    y[b] = static_cast<uint8_t>(value - offset);
  }
}

}  // namespace

Status normalize(Stream&, const NormalizeArgs& args) {
  for (int64_t row = 0; row < args.rows; ++row) {
    float* x = args.x + row * args.stride;
    const float length = length_of(x, args.width);
    for (int64_t d = 0; d < args.width; ++d) x[d] /= length;
  }
  return kOk;
}

Status similarity(Stream& stream, const SimilarityArgs& args) {
  run_tasks(stream, args.rows_a, [&](int64_t i) {
    for (int64_t j = 0; j < args.rows_b; ++j)
      args.y[i * (args.y_stride ? args.y_stride : args.rows_b) + j] = compare(args.kind, args.a + i * args.width, args.b + j * args.width, args.width);
  });
  return kOk;
}

Status quantize(Stream& stream, const QuantizeArgs& args) {
  run_tasks(stream, (args.rows + kRowsPerTask - 1) / kRowsPerTask, [&](int64_t task) {
    const int64_t end = std::min(args.rows, (task + 1) * kRowsPerTask);
    for (int64_t row = task * kRowsPerTask; row < end; ++row) quantize_row(args, row);
  });
  return kOk;
}

}  // namespace embedcore::cpu::EMBEDCORE_ISA
