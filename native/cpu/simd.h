// One vector type for all instruction sets. Every source of this folder but dispatch.cc is compiled once per instruction set
// with -DEMBEDCORE_ISA=<name> and that set's compiler flags; the code is the same, only kWidth and the register tile differ.
//
// The vectors are the compiler's own (GCC and Clang vector extensions), so a plain build gets SSE2 or NEON without a line more.
// a * b + c is contracted to a fused multiply-add where the set has one (-ffp-contract=fast): within one set every row of a
// result takes the same instructions, which is what bit-identity needs; across sets the last bits may differ.
#pragma once

#include <cstdint>
#include <cstring>

#include "ops/backend.h"

#ifndef EMBEDCORE_ISA
#error "compile with -DEMBEDCORE_ISA=<instruction set>"
#endif

namespace embedcore::cpu::EMBEDCORE_ISA {

#if defined(__AVX512F__)
constexpr int kWidth = 16;        // floats in a vector
constexpr int kPanelVectors = 4;  // vectors across a register tile
#elif defined(__AVX2__)
constexpr int kWidth = 8;
constexpr int kPanelVectors = 2;
#else
constexpr int kWidth = 4;
constexpr int kPanelVectors = 2;
#endif
constexpr int kTileRows = 6;                          // rows down a register tile
constexpr int kPanel = kWidth * kPanelVectors;        // columns across it
constexpr int kVectorBytes = kWidth * static_cast<int>(sizeof(float));

typedef float Vec __attribute__((vector_size(kVectorBytes)));
typedef int32_t IntVec __attribute__((vector_size(kVectorBytes)));
typedef float UnalignedVec __attribute__((vector_size(kVectorBytes), aligned(4), may_alias));

inline Vec load(const float* from) { return *reinterpret_cast<const UnalignedVec*>(from); }
inline void store(float* to, Vec value) { *reinterpret_cast<UnalignedVec*>(to) = value; }
inline Vec broadcast(float value) { return Vec{} + value; }

// The first n < kWidth floats; the rest is filled.
inline Vec load_part(const float* from, int64_t n, float fill = 0.0f) {
  float lanes[kWidth];
  for (int i = 0; i < kWidth; ++i) lanes[i] = i < n ? from[i] : fill;
  return load(lanes);
}
inline void store_part(float* to, Vec value, int64_t n) { std::memcpy(to, &value, static_cast<size_t>(n) * sizeof(float)); }

// Where one of the two is a NaN the result is b: a value that must stay a NaN comes second.
inline Vec maximum(Vec a, Vec b) { return a > b ? a : b; }
inline Vec minimum(Vec a, Vec b) { return a < b ? a : b; }

// Lanes are halved onto each other: a fixed order of additions.
inline float sum_lanes(Vec value) {
  float lanes[kWidth];
  store(lanes, value);
  for (int half = kWidth / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  return lanes[0];
}
inline float max_lanes(Vec value) {
  float lanes[kWidth];
  store(lanes, value);
  float best = lanes[0];
  for (int i = 1; i < kWidth; ++i) best = lanes[i] > best ? lanes[i] : best;
  return best;
}

// Calls body(task) for each task through the scope's team.
template <typename Body>
void run_tasks(Scope& scope, int64_t tasks, Body&& body) {
  if (tasks <= 0) return;
  if (tasks == 1) {
    body(0);
    return;
  }
  scope.parallel(scope.team, tasks, [](void* arg, int64_t task) { (*static_cast<Body*>(arg))(task); }, const_cast<void*>(static_cast<const void*>(&body)));
}

}  // namespace embedcore::cpu::EMBEDCORE_ISA
