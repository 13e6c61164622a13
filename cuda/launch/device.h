// The launch layer on a GPU. See launch.h for the contract of each function.
#pragma once

#include <type_traits>

#define GPU __device__ __forceinline__
#define UNROLL _Pragma("unroll")
#define ROLLED _Pragma("unroll 1")

namespace embedcore::cuda {

// The architecture this pass of the compiler makes code for.
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
constexpr Arch kThisArch = Arch::kSm90a;
#elif defined(__CUDA_ARCH__)
constexpr Arch kThisArch = static_cast<Arch>(__CUDA_ARCH__ / 10);
#else
constexpr Arch kThisArch = Arch::kAny;
#endif

// Whether a kernel of this architecture has code in this pass.
template <Arch kKernel>
constexpr bool kCompiledFor = kKernel == Arch::kSm90a     ? kThisArch == Arch::kSm90a
                              : kThisArch == Arch::kSm90a ? static_cast<int>(kKernel) <= 90
                                                          : kKernel <= kThisArch;

// A constant, so a branch on it costs nothing.
GPU constexpr bool runs_on(Arch least) {
  return kThisArch == Arch::kSm90a ? static_cast<int>(least) <= 90 || least == Arch::kSm90a : least <= kThisArch;
}

extern __shared__ __align__(1024) unsigned char shared_arena[];

GPU uint32_t shared_address(uint32_t offset) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(shared_arena)) + offset;
}
template <typename T>
GPU T* shared_at(uint32_t offset) {
  return reinterpret_cast<T*>(shared_arena + offset);
}

GPU int thread_index() { return static_cast<int>(threadIdx.x); }
GPU int lane_index() { return static_cast<int>(threadIdx.x & 31); }
GPU uint32_t block_index() { return blockIdx.x; }
GPU uint32_t block_index_y() { return blockIdx.y; }
GPU uint32_t block_index_z() { return blockIdx.z; }
GPU uint32_t grid_size() { return gridDim.x; }
GPU uint32_t grid_size_y() { return gridDim.y; }

GPU void sync_block() { __syncthreads(); }
GPU void sync_warp() { __syncwarp(); }
GPU void sync_named(int id, int threads) { asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory"); }
GPU void arrive_named(int id, int threads) { asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory"); }

template <typename T>
GPU T shuffle(T value, int lane) {
  static_assert(sizeof(T) == 4);
  return __shfl_sync(0xffffffffu, value, lane);
}
template <typename T>
GPU T shuffle_xor(T value, int mask) {
  static_assert(sizeof(T) == 4);
  return __shfl_xor_sync(0xffffffffu, value, mask);
}
GPU uint32_t ballot(bool value) { return __ballot_sync(0xffffffffu, value); }

GPU uint32_t atomic_add(uint32_t* at, uint32_t value) { return atomicAdd(at, value); }
GPU int atomic_max(int* at, int value) { return atomicMax(at, value); }
GPU void fence_device() { __threadfence(); }

GPU Vector16 load16(const void* at) { return *static_cast<const Vector16*>(at); }
GPU void store16(void* at, Vector16 value) { *static_cast<Vector16*>(at) = value; }
GPU Vector8 load8(const void* at) { return *static_cast<const Vector8*>(at); }
GPU void store8(void* at, Vector8 value) { *static_cast<Vector8*>(at) = value; }
GPU Vector16 load16_once(const void* at) {
  Vector16 v;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.word[0]), "=r"(v.word[1]), "=r"(v.word[2]), "=r"(v.word[3])
               : "l"(at));
  return v;
}
template <typename T>
GPU T load_cached(const T* at) {
  if constexpr (sizeof(T) == 2) {
    const uint16_t bits = __ldg(reinterpret_cast<const unsigned short*>(at));
    return *reinterpret_cast<const T*>(&bits);
  } else {
    return __ldg(at);
  }
}

// --- numbers ---

GPU float to_float(bf16 value) { return __uint_as_float(static_cast<uint32_t>(value.bits) << 16); }
GPU float to_float(f16 value) {
  float result;
  asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(value.bits));
  return result;
}
GPU float to_float(float value) { return value; }

template <typename T>
GPU uint32_t pack2(float low, float high) {
  uint32_t word;
  if constexpr (std::is_same_v<T, bf16>) {
#if __CUDA_ARCH__ >= 800
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
#else
    auto round = [](float x) {
      const uint32_t bits = __float_as_uint(x);
      return x != x ? 0x7fffu : (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    };
    word = round(low) | round(high) << 16;
#endif
  } else {
    static_assert(std::is_same_v<T, f16>);
#if __CUDA_ARCH__ >= 800
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
#else
    uint16_t a, b;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(a) : "f"(low));
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(b) : "f"(high));
    word = a | static_cast<uint32_t>(b) << 16;
#endif
  }
  return word;
}
template <typename T>
GPU T from_float(float value) {
  if constexpr (std::is_same_v<T, float>) {
    return value;
  } else {
    return T{static_cast<uint16_t>(pack2<T>(value, 0.0f) & 0xffff)};
  }
}
template <typename T>
GPU void unpack2(uint32_t word, float& low, float& high) {
  low = to_float(T{static_cast<uint16_t>(word & 0xffff)});
  high = to_float(T{static_cast<uint16_t>(word >> 16)});
}

GPU float minimum(float a, float b) { return fminf(a, b); }
GPU float maximum(float a, float b) { return fmaxf(a, b); }
GPU float fast_exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
GPU float fast_tanh(float x) {
  float y;
  asm("tanh.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
GPU float fast_divide(float a, float b) { return __fdividef(a, b); }
GPU float fast_rsqrt(float x) { return rsqrtf(x); }
GPU float exact_exp(float x) { return expf(x); }
GPU float exact_erf(float x) { return erff(x); }
GPU float exact_tanh(float x) { return tanhf(x); }
GPU float exact_sqrt(float x) { return __fsqrt_rn(x); }
GPU float multiply_add(float a, float b, float c) { return __fmaf_rn(a, b, c); }
GPU float multiply(float a, float b) { return __fmul_rn(a, b); }
GPU float exact_log(float x) { return logf(x); }
GPU int float_to_int_nearest(float x) { return __float2int_rn(x); }

// --- tensor cores ---

GPU void ldmatrix4(uint32_t (&r)[4], uint32_t offset) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(offset))
               : "memory");
}
GPU void ldmatrix4_transposed(uint32_t (&r)[4], uint32_t offset) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(offset))
               : "memory");
}

template <typename T>
GPU void mma_16816(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if __CUDA_ARCH__ >= 800
  if constexpr (std::is_same_v<T, bf16>)
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  else
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}
GPU void mma_1688_f16(float (&c)[4], const uint32_t (&a)[2], const uint32_t (&b)[1]) {
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(b[0]));
}
GPU void mma_16832_u8s8(int32_t (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}
GPU void mma_8816_u8s8(int32_t (&c)[2], uint32_t a, uint32_t b) {
  asm volatile("mma.sync.aligned.m8n8k16.row.col.s32.u8.s8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};"
               : "+r"(c[0]), "+r"(c[1])
               : "r"(a), "r"(b));
}

// --- asynchronous copies ---

GPU void copy_async16(uint32_t to_offset, const void* from, int bytes) {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to_offset)), "l"(from), "r"(bytes)
               : "memory");
#else
  Vector16 value = bytes == 0 ? Vector16{{0, 0, 0, 0}} : load16(from);
  UNROLL
  for (int i = 0; i < 4; ++i) {
    const int left = bytes - 4 * i;
    if (left < 4) value.word[i] = left <= 0 ? 0 : value.word[i] & ((1u << 8 * left) - 1);
  }
  store16(shared_at<unsigned char>(to_offset), value);
#endif
}
GPU void copy_async_commit() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
template <int N>
GPU void copy_async_wait() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
#endif
}

// --- programmatic dependent launch ---

GPU void wait_for_previous_kernel() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
GPU void allow_next_kernel() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

}  // namespace embedcore::cuda

#include "launch/device_sm90.h"
