// The launch layer on the CPU: the threads of a block are fibers (emulator/block.h). See launch.h for the contract of
// each function.
#pragma once

#include <cmath>
#include <cstring>
#include <type_traits>

#include "emulator/block.h"
#include "emulator/matrix.h"
#include "emulator/numbers.h"
#include "emulator/shared.h"

#define GPU inline
#define UNROLL
#define ROLLED

namespace embedcore::cuda {

// The architecture that code is made for: emulated code is the same for all.
constexpr Arch kThisArch = Arch::kAny;

// Whether a kernel of this architecture has code; emulated kernels always have.
template <Arch kKernel>
constexpr bool kCompiledFor = true;

EMULATED bool runs_on(Arch least) {
  const int architecture = emulator::current->block->architecture;
  return least == Arch::kSm90a ? architecture == 90 : static_cast<int>(least) <= architecture;
}

EMULATED int thread_index() { return emulator::current->index; }
EMULATED int lane_index() { return emulator::current->lane; }
EMULATED uint32_t block_index() { return emulator::current->block->index[0]; }
EMULATED uint32_t block_index_y() { return emulator::current->block->index[1]; }
EMULATED uint32_t block_index_z() { return emulator::current->block->index[2]; }
EMULATED uint32_t grid_size() { return emulator::current->block->grid[0]; }
EMULATED uint32_t grid_size_y() { return emulator::current->block->grid[1]; }

template <typename T>
EMULATED T* shared_at(uint32_t offset) {
  return reinterpret_cast<T*>(emulator::current->block->arena + offset);
}

// --- order ---

EMULATED void sync_block() {
  emulator::Thread& me = *emulator::current;
  emulator::wait_at_barrier(me, 0, me.block->thread_count, EMULATED_SITE);
}
EMULATED void sync_warp() {
  emulator::Thread& me = *emulator::current;
  emulator::meet(me, emulator::Operation::kSync, EMULATED_SITE, [](emulator::Warp& w) EMULATED_BODY {
    if constexpr (emulator::kChecked) emulator::warp_synced(w);
  });
}
EMULATED void sync_named(int id, int threads) {
  emulator::Thread& me = *emulator::current;
  emulator::check_named_barrier(me, id, threads, EMULATED_SITE);
  emulator::wait_at_barrier(me, id, threads, EMULATED_SITE);
}
EMULATED void arrive_named(int id, int threads) {
  emulator::Thread& me = *emulator::current;
  emulator::check_named_barrier(me, id, threads, EMULATED_SITE);
  emulator::arrive_at_barrier(me, id, threads, EMULATED_SITE);
}

// --- lanes ---

template <typename T>
EMULATED T shuffle(T value, int lane) {
  static_assert(sizeof(T) == 4);
  emulator::Thread& me = *emulator::current;
  uint32_t(&values)[32] = me.warp->values[me.warp->parity];
  std::memcpy(&values[me.lane], &value, 4);
  emulator::meet(me, emulator::Operation::kShuffle, EMULATED_SITE, [](emulator::Warp&) EMULATED_BODY {});
  std::memcpy(&value, &values[lane & 31], 4);
  return value;
}
template <typename T>
EMULATED T shuffle_xor(T value, int mask) {
  static_assert(sizeof(T) == 4);
  emulator::Thread& me = *emulator::current;
  uint32_t(&values)[32] = me.warp->values[me.warp->parity];
  std::memcpy(&values[me.lane], &value, 4);
  emulator::meet(me, emulator::Operation::kShuffle, EMULATED_SITE, [](emulator::Warp&) EMULATED_BODY {});
  // A lane past the warp's end: the lane keeps its own value, as on the device.
  const int source = me.lane ^ mask;
  std::memcpy(&value, &values[source >= 0 && source < 32 ? source : me.lane], 4);
  return value;
}
EMULATED uint32_t ballot(bool value) {
  emulator::Thread& me = *emulator::current;
  uint32_t& votes = me.warp->votes[me.warp->parity];
  if (me.warp->arrived == 0) votes = 0;
  if (value) votes |= me.bit;
  emulator::meet(me, emulator::Operation::kBallot, EMULATED_SITE, [](emulator::Warp&) EMULATED_BODY {});
  return votes;
}

// --- memory ---

EMULATED uint32_t atomic_add(uint32_t* at, uint32_t value) {
  emulator::check_aligned<4, emulator::Access::kAtomic>(at, EMULATED_SITE);
  return __atomic_fetch_add(at, value, __ATOMIC_RELAXED);
}
EMULATED int atomic_max(int* at, int value) {
  emulator::check_aligned<4, emulator::Access::kAtomic>(at, EMULATED_SITE);
  int old = __atomic_load_n(at, __ATOMIC_RELAXED);
  while (old < value && !__atomic_compare_exchange_n(at, &old, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return old;
}
EMULATED void fence_device() {
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  if constexpr (emulator::kChecked) emulator::fenced(*emulator::current);
}

EMULATED Vector16 load16(const void* at) {
  emulator::check_aligned<16, emulator::Access::kRead>(at, EMULATED_SITE);
  Vector16 value;
  std::memcpy(&value, at, 16);
  return value;
}
EMULATED void store16(void* at, Vector16 value) {
  emulator::check_aligned<16, emulator::Access::kWrite>(at, EMULATED_SITE);
  std::memcpy(at, &value, 16);
}
EMULATED Vector8 load8(const void* at) {
  emulator::check_aligned<8, emulator::Access::kRead>(at, EMULATED_SITE);
  Vector8 value;
  std::memcpy(&value, at, 8);
  return value;
}
EMULATED void store8(void* at, Vector8 value) {
  emulator::check_aligned<8, emulator::Access::kWrite>(at, EMULATED_SITE);
  std::memcpy(at, &value, 8);
}
EMULATED Vector16 load16_once(const void* at) {
  emulator::check_global(at, EMULATED_SITE);
  emulator::check_aligned<16, emulator::Access::kRead>(at, EMULATED_SITE);
  Vector16 value;
  std::memcpy(&value, at, 16);
  return value;
}
template <typename T>
EMULATED T load_cached(const T* at) {
  emulator::check_global(at, EMULATED_SITE);
  emulator::check_aligned<sizeof(T), emulator::Access::kRead>(at, EMULATED_SITE);
  T value;
  std::memcpy(&value, at, sizeof(T));
  return value;
}

// --- numbers ---

EMULATED_PART float to_float(bf16 value) { return emulator::float_of_bf16(value.bits); }
EMULATED_PART float to_float(f16 value) { return emulator::float_of_f16(value.bits); }
EMULATED_PART float to_float(float value) { return value; }

template <typename T>
EMULATED_PART T from_float(float value) {
  if constexpr (std::is_same_v<T, float>) {
    return value;
  } else if constexpr (std::is_same_v<T, bf16>) {
    return T{emulator::bf16_of_float(value)};
  } else {
    static_assert(std::is_same_v<T, f16>);
    return T{emulator::f16_of_float(value)};
  }
}
template <typename T>
EMULATED_PART uint32_t pack2(float low, float high) {
  return from_float<T>(low).bits | static_cast<uint32_t>(from_float<T>(high).bits) << 16;
}
template <typename T>
EMULATED_PART void unpack2(uint32_t word, float& low, float& high) {
  low = to_float(T{static_cast<uint16_t>(word & 0xffff)});
  high = to_float(T{static_cast<uint16_t>(word >> 16)});
}

EMULATED float fast_exp2(float x) {
  if (x == 0) return 1;  // exact on the device too
  const float y = emulator::with_ulps(static_cast<float>(std::exp2(static_cast<double>(x))),
                                      emulator::error_of(emulator::bits_of_float(x), 0, 1));
  return y < 0x1p-126f ? 0.0f : y;  // subnormal results are flushed
}
EMULATED float fast_tanh(float x) {
  // 2^-10.9, less what rounding adds.
  const float error = emulator::error_of(emulator::bits_of_float(x), 0, 2) * 5.2e-4f;
  const float y = std::tanh(x);
  const float moved = y + y * error;
  return std::fabs(moved) > 1 ? std::copysign(1.0f, y) : moved;
}
EMULATED float fast_divide(float a, float b) {
  // Where the divisor exceeds 2^126 the device's quotient is 0.
  if (std::fabs(b) > 0x1p126f && std::fabs(b) < HUGE_VALF) return a == a && std::fabs(a) < HUGE_VALF ? 0.0f : NAN;
  return emulator::with_ulps(static_cast<float>(static_cast<double>(a) / b),
                             emulator::error_of(emulator::bits_of_float(a), emulator::bits_of_float(b), 3));
}
EMULATED float fast_rsqrt(float x) {
  return emulator::with_ulps(static_cast<float>(1 / std::sqrt(static_cast<double>(x))),
                             emulator::error_of(emulator::bits_of_float(x), 0, 4));
}
EMULATED_PART float exact_exp(float x) { return std::exp(x); }
EMULATED_PART float exact_erf(float x) { return std::erf(x); }
EMULATED_PART float exact_tanh(float x) { return std::tanh(x); }
EMULATED_PART float exact_sqrt(float x) { return std::sqrt(x); }
EMULATED_PART float exact_log(float x) { return std::log(x); }
EMULATED_PART float minimum(float a, float b) { return std::fmin(a, b); }
EMULATED_PART float maximum(float a, float b) { return std::fmax(a, b); }
EMULATED_PART float multiply(float a, float b) { return a * b; }
EMULATED_PART float multiply_add(float a, float b, float c) { return std::fma(a, b, c); }
EMULATED_PART int float_to_int_nearest(float x) {
  // The device saturates, and gives 0 for NaN.
  if (x != x) return 0;
  if (x >= 0x1p31f) return INT32_MAX;
  if (x <= -0x1p31f) return INT32_MIN;
  return static_cast<int>(std::nearbyint(x));
}

// --- tensor cores ---

EMULATED void ldmatrix4(uint32_t (&r)[4], uint32_t offset) {
  const void* site = EMULATED_SITE;
  emulator::Thread& me = *emulator::current;
  me.warp->values[me.warp->parity][me.lane] = offset;
  emulator::meet(me, emulator::Operation::kLoadMatrix, site,
                 [site](emulator::Warp& w) EMULATED_BODY { emulator::load_matrices(w, site); });
  std::memcpy(r, me.warp->matrices[me.lane], 16);
}
EMULATED void ldmatrix4_transposed(uint32_t (&r)[4], uint32_t offset) {
  const void* site = EMULATED_SITE;
  emulator::Thread& me = *emulator::current;
  me.warp->values[me.warp->parity][me.lane] = offset;
  emulator::meet(me, emulator::Operation::kLoadMatrixTransposed, site,
                 [site](emulator::Warp& w) EMULATED_BODY { emulator::load_matrices(w, site); });
  std::memcpy(r, me.warp->matrices[me.lane], 16);
}

template <typename T>
EMULATED void mma_16816(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  constexpr bool kBf16 = std::is_same_v<T, bf16>;
  static_assert(kBf16 || std::is_same_v<T, f16>);
  const void* site = EMULATED_SITE;
  emulator::Thread& me = *emulator::current;
  emulator::give_operands<4, 2>(me, a, b);
  emulator::give_sums(me, c);
  emulator::meet(me, kBf16 ? emulator::Operation::kMma16816Bf16 : emulator::Operation::kMma16816F16, site,
                 [site](emulator::Warp& w) EMULATED_BODY {
                   emulator::need_architecture(80, site);
                   if constexpr (kBf16) {
                     emulator::multiply_16816_bf16(w.fragments);
                   } else {
                     emulator::multiply_16816_f16(w.fragments);
                   }
                 });
  emulator::take_sums(me, c);
}
EMULATED void mma_1688_f16(float (&c)[4], const uint32_t (&a)[2], const uint32_t (&b)[1]) {
  emulator::Thread& me = *emulator::current;
  emulator::give_operands<2, 1>(me, a, b);
  emulator::give_sums(me, c);
  emulator::meet(me, emulator::Operation::kMma1688F16, EMULATED_SITE,
                 [](emulator::Warp& w) EMULATED_BODY { emulator::multiply_1688_f16(w.fragments); });
  emulator::take_sums(me, c);
}
EMULATED void mma_16832_u8s8(int32_t (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  const void* site = EMULATED_SITE;
  emulator::Thread& me = *emulator::current;
  emulator::give_operands<4, 2>(me, a, b);
  emulator::give_sums(me, c);
  emulator::meet(me, emulator::Operation::kMma16832U8S8, site, [site](emulator::Warp& w) EMULATED_BODY {
    emulator::need_architecture(80, site);
    emulator::multiply_16832_u8s8(w.fragments);
  });
  emulator::take_sums(me, c);
}
EMULATED void mma_8816_u8s8(int32_t (&c)[2], uint32_t a, uint32_t b) {
  emulator::Thread& me = *emulator::current;
  emulator::Fragments& f = me.warp->fragments;
  const int g = me.lane >> 2, t = me.lane & 3;
  f.a[8 * g + t] = a;
  f.b[8 * t + g] = b;
  std::memcpy(f.i + 8 * g + 2 * t, c, 8);
  emulator::meet(me, emulator::Operation::kMma8816U8S8, EMULATED_SITE,
                 [](emulator::Warp& w) EMULATED_BODY { emulator::multiply_8816_u8s8(w.fragments); });
  std::memcpy(c, f.i + 8 * g + 2 * t, 8);
}

// --- asynchronous copies ---

EMULATED void copy_async16(uint32_t to_offset, const void* from, int bytes) {
  emulator::issue_copy(*emulator::current, to_offset, from, bytes, EMULATED_SITE);
}
EMULATED void copy_async_commit() { emulator::commit_copies(*emulator::current); }
template <int N>
EMULATED void copy_async_wait() {
  emulator::wait_for_copies(*emulator::current, N);
}

// --- programmatic dependent launch ---

EMULATED void wait_for_previous_kernel() { emulator::wait_for_previous(*emulator::current); }
EMULATED void allow_next_kernel() {}

}  // namespace embedcore::cuda

#include "launch/emulated_sm90.h"
