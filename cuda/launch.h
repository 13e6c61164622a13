// The launch layer: everything that a kernel of this folder may use. It has two implementations, device.h (nvcc) and
// emulated.h (threads of a block as fibers on the CPU, emulator/), so that every kernel runs in the tests without a
// GPU.
//
// A kernel is a struct:
//
//   struct NormKernel {
//     static constexpr int kThreads = 128;    // threads of a block
//     static constexpr int kMinBlocks = 1;    // blocks that should fit a multiprocessor (__launch_bounds__)
//     static constexpr Arch kArch = Arch::kAny;
//     struct Args { ... };                    // plain values and device pointers, at most 4 KB
//     GPU static void run(const Args& args);  // the code of one thread
//   };
//
// and is launched with launch<NormKernel>(stream, grid, shared_bytes, args) from runtime.h.
//
// Rules of the dialect:
// - Functions of a kernel are marked GPU. No static variables, no recursion, no virtual functions, no host library
//   except <cstdint>, <type_traits> and the like; no exceptions.
// - A block is one-dimensional: thread_index() < Kernel::kThreads. The grid is up to three-dimensional.
// - Shared memory is one arena of the size given at launch. It is addressed by byte offsets from its start, which is
//   aligned to 1024 bytes; shared_at<T>(offset) gives a pointer for ordinary accesses.
// - The operations of a warp (shuffles, votes, ldmatrix, mma) are called by all 32 lanes together. They do not order
//   memory accesses; sync_warp() and sync_block() do.
// - Floats are contracted and approximate functions are approximate: results of the two implementations agree within
//   tolerances, not in bits.
#pragma once

#include <cstddef>
#include <cstdint>

namespace embedcore::cuda {

// The least architecture that a kernel is compiled for. A kernel of kSm90a is compiled for exactly that one, because
// its instructions exist nowhere else.
enum class Arch : int { kAny = 0, kSm75 = 75, kSm80 = 80, kSm90 = 90, kSm90a = 901 };

// Bits of a bfloat16 and of a float16; conversions below.
struct alignas(2) bf16 {
  uint16_t bits;
};
struct alignas(2) f16 {
  uint16_t bits;
};

// Sixteen bytes, the widest access to memory.
struct alignas(16) Vector16 {
  uint32_t word[4];
};
struct alignas(8) Vector8 {
  uint32_t word[2];
};

// A tensor map of the TMA unit (CUtensorMap), made by make_tensor_map of runtime.h.
struct alignas(128) TensorMap {
  uint64_t opaque[16];
};

}  // namespace embedcore::cuda

// A source without kernels (.cc) sees the types alone.
#if defined(EMBEDCORE_EMULATED)
#include "launch/emulated.h"
#elif defined(__CUDACC__)
#include "launch/device.h"
#endif

// What both implementations provide, in namespace embedcore::cuda:
//
//   GPU                                      marks a function of a kernel
//   UNROLL                                   before a loop: unrolled completely
//   ROLLED                                   before a loop: not unrolled, which saves registers
//
//   constexpr Arch kThisArch                 the architecture that this code is made for; kAny in the emulator
//   bool runs_on(Arch least)                 whether this code runs on that architecture or a later one: a constant
//
//   int thread_index()                       0 .. kThreads - 1
//   int lane_index()                         thread_index() % 32
//   uint32_t block_index(), block_index_y(), block_index_z()
//   uint32_t grid_size(), grid_size_y()      blocks along x and y
//
//   T* shared_at<T>(uint32_t offset)         ordinary access to the arena
//
//   void sync_block()                        all threads of the block
//   void sync_warp()                         the 32 lanes; orders their memory accesses
//   void sync_named(int id, int threads)     barrier 1 to 15 for that many threads (multiples of 32)
//   void arrive_named(int id, int threads)   arrives without waiting
//
//   T shuffle(T value, int lane), T shuffle_xor(T value, int mask)      32-bit values
//   uint32_t ballot(bool value)
//
//   uint32_t atomic_add(uint32_t*, uint32_t), int atomic_max(int*, int)   global or shared memory; the old value
//   void fence_device()                      earlier writes are visible to the device before later ones
//
//   Vector16 load16(const void*), void store16(void*, Vector16)         16-byte aligned, global or shared
//   Vector8 load8(const void*), void store8(void*, Vector8)             8-byte aligned
//   Vector16 load16_once(const void*)        global memory that is read once: does not stay in the caches
//   T load_cached(const T*)                  global memory that no kernel of the launch writes
//
//   float to_float(bf16), to_float(f16)      exact
//   T from_float<T>(float)                   bf16, f16 or float: to nearest even
//   uint32_t pack2<T>(float low, float high) two bf16 or f16 in a word, low in the low half
//   void unpack2<T>(uint32_t, float& low, float& high)
//
//   float minimum(float, float), maximum(float, float)                   of a NaN and a number the number
//   float fast_exp2(float)                   2^x within 2 ulp; 0 gives 1, -inf gives 0
//   float fast_tanh(float)                   relative error up to 2^-10.9
//   float fast_divide(float, float)          within 2 ulp
//   float fast_rsqrt(float)                  within 2 ulp
//   float exact_exp(float), exact_log, exact_erf, exact_tanh, exact_sqrt     accurate, as in <cmath>
//   float multiply_add(a, b, c)              fused
//   float multiply(a, b)                     rounded by itself: never fused with an addition
//   int float_to_int_nearest(float)          to nearest even
//
// Tensor cores (lane l, g = l / 4, t = l % 4):
//   void ldmatrix4(uint32_t (&r)[4], uint32_t offset)          four 8x8 matrices of 16 bits; lane l gives the offset of
//                                                              row l % 8 of matrix l / 8 (16 bytes, aligned); register
//                                                              m receives elements 2t, 2t + 1 of row g of matrix m
//   void ldmatrix4_transposed(uint32_t (&r)[4], uint32_t offset)   as above, each matrix transposed
//   void mma_16816<bf16 | f16>(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
//       c[16x8] += a[16x16] b[16x8].  a: register r holds row g + 8 (r & 1), columns 2t, 2t + 1 + 8 (r >> 1).
//       b: register r holds column g, rows 2t, 2t + 1 + 8 r.  c: element i is row g + 8 (i >> 1), column 2t + (i & 1)
//   void mma_1688_f16(float (&c)[4], const uint32_t (&a)[2], const uint32_t (&b)[1])    as above with k = 8 (sm_75)
//   void mma_16832_u8s8(int32_t (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
//       a: unsigned bytes, register r holds row g + 8 (r & 1), columns 4t .. 4t + 3 + 16 (r >> 1).
//       b: signed bytes, register r holds column g, rows 4t .. 4t + 3 + 16 r
//   void mma_8816_u8s8(int32_t (&c)[2], uint32_t a, uint32_t b)                        8x8x16 (sm_75)
//
// Asynchronous copies (sm_80; on sm_75 they copy at once):
//   void copy_async16(uint32_t to_offset, const void* from, int bytes)   bytes 0 to 16, the rest is zeros; `from` is a
//                                            valid, 16-byte aligned address of global memory even where bytes is 0
//   void copy_async_commit()                 ends a group of this thread's copies, which may be empty
//   void copy_async_wait<N>()                until at most N groups of this thread are in flight; what they copied is
//                                            visible to this thread, and to others after a barrier
//
// Barriers in shared memory, 8 bytes each (sm_90):
//   void barrier_init(uint32_t offset, int arrivals)
//   void barrier_init_done()                 after all of them, before the block's barrier
//   void barrier_arrive(uint32_t offset)
//   void barrier_arrive_expect(uint32_t offset, int bytes)
//   void barrier_wait(uint32_t offset, int parity)   until the phase of this parity has ended
//
// TMA and wgmma (sm_90a):
//   void tma_load_2d(uint32_t to_offset, const TensorMap* map, uint32_t barrier_offset, int x, int y)
//   void tma_store_2d(const TensorMap* map, uint32_t from_offset, int x, int y)
//   void tma_store_commit(), tma_store_wait<N>()     N groups may still be read from shared memory
//   void fence_async_proxy()                 ordinary writes to shared memory are visible to TMA and wgmma
//   uint64_t wgmma_descriptor(uint32_t offset)       K-major tile of 128-byte rows in the 128-byte swizzle
//   void wgmma_fence(), wgmma_commit(), wgmma_wait<N>()
//   void wgmma<T, N>(float (&d)[N / 2], uint64_t a, uint64_t b, bool accumulate)     64 x N x 16
//   void release_registers<N>(), claim_registers<N>()
//
// Programmatic dependent launch (sm_90, nothing elsewhere):
//   void wait_for_previous_kernel()          before the first access to what an earlier kernel of the stream wrote
//   void allow_next_kernel()                 the next kernel may be started
