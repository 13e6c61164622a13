// A product by TMA and wgmma, as a kernel of sm_90a is built: one warpgroup loads, two multiply 64 rows each; results
// go out through the copy unit. `Bug` plants a mistake.
#pragma once

#include "runtime.h"

namespace embedcore::cuda {

enum class Bug {
  kNone,
  kTooFewBytes,
  kTooManyBytes,
  kConsumerParity,
  kProducerParity,
  kEarlyRelease,
  kNoProxyFence,
  kGenericOperand,
  kNoWgmmaFence,
  kNoWgmmaWait,
  kNoCommit,
  kNoInitDone,
  kNoBarrierAfterInit,
  kOneWarpLess,
  kRegisters,
  kBarrierOverwritten,
  kStoreNotWaited,
  kTileReused,
  kMisaligned,
};

// y[m x n] = x[m x k] w[n x k]^T; elements beyond the tensors are zeros and are not written.
template <typename T, int kColumns, Bug kBug = Bug::kNone>
struct Sm90ProductKernel {
  static constexpr int kThreads = 384, kMinBlocks = 1;
  static constexpr Arch kArch = Arch::kSm90a;
  static constexpr int kRows = 128, kDepth = 64, kStages = 3;
  static constexpr uint32_t kABytes = kRows * 128, kBBytes = kColumns * 128, kStageBytes = kABytes + kBBytes;
  static constexpr uint32_t kTile = kStages * kStageBytes;  // 64 x 64 elements for each consumer
  static constexpr uint32_t kFull = kTile + 2 * 8192, kEmpty = kFull + 8 * kStages;
  static constexpr size_t kSharedBytes = kEmpty + 8 * kStages;
  struct Args {
    TensorMap x, w, y;
    int steps;
  };

  GPU static void run(const Args& args) {
    if (thread_index() == 0) {
      for (int i = 0; i < kStages; ++i) {
        barrier_init(kFull + 8 * i, 1);
        barrier_init(kEmpty + 8 * i, 8);
      }
      if (kBug != Bug::kNoInitDone) barrier_init_done();
    }
    if (kBug != Bug::kNoBarrierAfterInit) sync_block();
    if (thread_index() < 128) {
      release_registers<40>();
      if (thread_index() == 0) produce(args);
    } else {
      claim_registers<kBug == Bug::kRegisters ? 240 : 232>();
      consume(args, thread_index() / 128 - 1);
    }
  }

  GPU static void produce(const Args& args) {
    int stage = 0, parity = kBug == Bug::kProducerParity ? 0 : 1;
    for (int step = 0; step < args.steps; ++step) {
      const uint32_t full = kFull + 8 * stage, to = stage * kStageBytes;
      barrier_wait(kEmpty + 8 * stage, parity);
      barrier_arrive_expect(full, kStageBytes + (kBug == Bug::kTooFewBytes    ? -1024
                                                 : kBug == Bug::kTooManyBytes ? 1024
                                                                              : 0));
      tma_load_2d(to + (kBug == Bug::kMisaligned ? 128 : 0), &args.x, full, step * kDepth,
                  static_cast<int>(block_index_y()) * kRows);
      tma_load_2d(to + kABytes, &args.w, full, step * kDepth, static_cast<int>(block_index()) * kColumns);
      if (++stage == kStages) stage = 0, parity ^= 1;
    }
  }

  GPU static void consume(const Args& args, int consumer) {
    float sums[kColumns / 2];
    int stage = 0, parity = kBug == Bug::kConsumerParity ? 1 : 0;
    uint32_t last = 0;
    for (int step = 0; step < args.steps; ++step) {
      barrier_wait(kFull + 8 * stage, parity);
      const uint32_t a = stage * kStageBytes + consumer * 64 * 128, b = stage * kStageBytes + kABytes;
      if (kBug == Bug::kGenericOperand && step == 1) {
        sync_named(1 + consumer, 128);
        *shared_at<uint32_t>(a + 4 * static_cast<uint32_t>(thread_index() % 128)) = 0;
        sync_named(1 + consumer, 128);
      }
      if (kBug != Bug::kNoWgmmaFence) wgmma_fence();
      for (int kk = 0; kk < kDepth / 16; ++kk)
        if (kBug != Bug::kOneWarpLess || step != 1 || kk != 3 || thread_index() / 32 != 6)
          wgmma<T, kColumns>(sums, wgmma_descriptor(a + kk * 32), wgmma_descriptor(b + kk * 32), step > 0 || kk > 0);
      if (kBug != Bug::kNoCommit) wgmma_commit();
      if (kBug != Bug::kNoWgmmaWait) wgmma_wait<1>();
      if (kBug == Bug::kEarlyRelease) {
        if (lane_index() == 0) barrier_arrive(kEmpty + 8 * stage);
      } else if (step > 0 && lane_index() == 0) {
        barrier_arrive(last);
      }
      last = kEmpty + 8 * stage;
      if (++stage == kStages) stage = 0, parity ^= 1;
    }
    if (kBug != Bug::kNoWgmmaWait) wgmma_wait<0>();
    if (kBug == Bug::kBarrierOverwritten) *shared_at<uint32_t>(kEmpty + 4) = 0;
    store(args, consumer, sums);
  }

  GPU static void store(const Args& args, int consumer, const float (&sums)[kColumns / 2]) {
    const int thread = thread_index() % 128, row = thread / 32 * 16 + lane_index() / 4, column = 2 * (lane_index() % 4);
    const uint32_t tile = kTile + 8192 * static_cast<uint32_t>(consumer);
    for (int part = 0; part < kColumns / 64; ++part) {
      for (int j = 0; j < 8; ++j)
        for (int half = 0; half < 2; ++half) {
          const uint32_t at = tile + static_cast<uint32_t>((row + 8 * half) * 128 + (8 * j + column) * 2);
          const float* from = sums + 4 * (8 * part + j) + 2 * half;
          *shared_at<uint32_t>(at ^ ((at >> 7 & 7) << 4)) = pack2<T>(from[0], from[1]);
        }
      if (kBug != Bug::kNoProxyFence) fence_async_proxy();
      sync_named(1 + consumer, 128);
      if (thread == 0) {
        tma_store_2d(&args.y, tile, static_cast<int>(block_index()) * kColumns + 64 * part,
                     static_cast<int>(block_index_y()) * kRows + 64 * consumer);
        tma_store_commit();
        if (kBug != Bug::kTileReused && kBug != Bug::kStoreNotWaited) tma_store_wait<0>();
      }
      if (kBug == Bug::kTileReused && part + 1 == kColumns / 64 && thread == 0) tma_store_wait<0>();
      sync_named(1 + consumer, 128);
    }
  }
};

}  // namespace embedcore::cuda
