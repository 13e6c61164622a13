// The launch layer on a GPU: barriers in shared memory, TMA and wgmma. Only kernels of Arch::kSm90a call them; in the
// passes for other architectures the functions are empty, because their instructions do not exist there.
#pragma once

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
#define EMBEDCORE_SM90(...) asm volatile(__VA_ARGS__)
#else
#define EMBEDCORE_SM90(...)
#endif
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define EMBEDCORE_SM90A(...) asm volatile(__VA_ARGS__)
#else
#define EMBEDCORE_SM90A(...)
#endif

namespace embedcore::cuda {

GPU void barrier_init(uint32_t offset, int arrivals) {
  EMBEDCORE_SM90("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(offset)), "r"(arrivals) : "memory");
}
GPU void barrier_init_done() { EMBEDCORE_SM90("fence.mbarrier_init.release.cluster;" ::: "memory"); }
GPU void barrier_arrive(uint32_t offset) {
  EMBEDCORE_SM90("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(offset)) : "memory");
}
GPU void barrier_arrive_expect(uint32_t offset, int bytes) {
  EMBEDCORE_SM90("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(offset)), "r"(bytes)
                 : "memory");
}
GPU void barrier_wait(uint32_t offset, int parity) {
  EMBEDCORE_SM90(
      "{\n.reg .pred done;\nagain:\nmbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n@!done bra again;\n}" ::
          "r"(shared_address(offset)),
      "r"(parity)
      : "memory");
}

GPU void tma_load_2d(uint32_t to_offset, const TensorMap* map, uint32_t barrier_offset, int x, int y) {
  EMBEDCORE_SM90(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];" ::"r"(
          shared_address(to_offset)),
      "l"(map), "r"(shared_address(barrier_offset)), "r"(x), "r"(y)
      : "memory");
}
GPU void tma_store_2d(const TensorMap* map, uint32_t from_offset, int x, int y) {
  EMBEDCORE_SM90("cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%0, {%2, %3}], [%1];" ::"l"(map),
                 "r"(shared_address(from_offset)), "r"(x), "r"(y)
                 : "memory");
}
GPU void tma_store_commit() { EMBEDCORE_SM90("cp.async.bulk.commit_group;" ::: "memory"); }
template <int N>
GPU void tma_store_wait() {
  EMBEDCORE_SM90("cp.async.bulk.wait_group.read %0;" ::"n"(N) : "memory");
}
GPU void fence_async_proxy() { EMBEDCORE_SM90("fence.proxy.async.shared::cta;" ::: "memory"); }

// Address, stride of 1024 bytes between groups of 8 rows, 128-byte swizzle.
GPU uint64_t wgmma_descriptor(uint32_t offset) {
  return static_cast<uint64_t>((shared_address(offset) & 0x3ffff) >> 4) | (1ull << 16) | (64ull << 32) | (1ull << 62);
}
GPU void wgmma_fence() { EMBEDCORE_SM90A("wgmma.fence.sync.aligned;" ::: "memory"); }
GPU void wgmma_commit() { EMBEDCORE_SM90A("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int N>
GPU void wgmma_wait() {
  EMBEDCORE_SM90A("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
}

template <int N>
GPU void release_registers() {
  EMBEDCORE_SM90A("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N));
}
template <int N>
GPU void claim_registers() {
  EMBEDCORE_SM90A("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N));
}

}  // namespace embedcore::cuda

#include "launch/device_wgmma.h"
