// Two real kernels for tests and measurements: a multistage product with mma.sync, and a layer norm.
#pragma once

#include "runtime.h"

namespace embedcore::cuda {

// y[m x n] = x[m x k] w[n x k]^T for m, n multiples of the tile and k of its depth.
template <int kM, int kN, int kK, int kWarpM, int kWarpN, int kStages>
struct ProductKernel {
  static constexpr int kThreads = (kM / kWarpM) * (kN / kWarpN) * 32;
  static constexpr int kMinBlocks = 1;
  static constexpr Arch kArch = Arch::kSm80;
  static constexpr uint32_t kABytes = kM * kK * 2, kBBytes = kN * kK * 2, kStageBytes = kABytes + kBBytes;
  static constexpr uint32_t kSharedBytes = kStages * kStageBytes;
  struct Args {
    const bf16 *x, *w;
    float* y;
    int n, k;
  };

  GPU static uint32_t swizzled(int row, int chunk) {
    if constexpr (kK == 64) return static_cast<uint32_t>((row * 8 + (chunk ^ (row & 7))) * 16);
    return static_cast<uint32_t>(((row >> 1) * 8 + (((row & 1) * 4 + chunk) ^ ((row >> 1) & 7))) * 16);
  }
  GPU static void load(const Args& args, uint32_t stage, int k) {
    const int m0 = static_cast<int>(block_index_y()) * kM, n0 = static_cast<int>(block_index()) * kN;
    for (int i = thread_index(); i < kM * kK / 8; i += kThreads) {
      const int row = i / (kK / 8), chunk = i % (kK / 8);
      copy_async16(stage * kStageBytes + swizzled(row, chunk),
                   args.x + static_cast<int64_t>(m0 + row) * args.k + k + chunk * 8, 16);
    }
    for (int i = thread_index(); i < kN * kK / 8; i += kThreads) {
      const int row = i / (kK / 8), chunk = i % (kK / 8);
      copy_async16(stage * kStageBytes + kABytes + swizzled(row, chunk),
                   args.w + static_cast<int64_t>(n0 + row) * args.k + k + chunk * 8, 16);
    }
  }
  GPU static void run(const Args& args) {
    constexpr int kTilesM = kWarpM / 16, kTilesN = kWarpN / 8;
    const int lane = lane_index(), warp = thread_index() / 32;
    const int warp_m = warp / (kN / kWarpN), warp_n = warp % (kN / kWarpN);
    float sums[kTilesM][kTilesN][4] = {};
    const int steps = args.k / kK;
    for (int s = 0; s < kStages - 1; ++s) {
      if (s < steps) load(args, static_cast<uint32_t>(s), s * kK);
      copy_async_commit();
    }
    for (int step = 0; step < steps; ++step) {
      copy_async_wait<kStages - 2>();
      sync_block();
      const int next = step + kStages - 1;
      if (next < steps) load(args, static_cast<uint32_t>(next % kStages), next * kK);
      copy_async_commit();
      const uint32_t base = static_cast<uint32_t>(step % kStages) * kStageBytes;
      UNROLL
      for (int kk = 0; kk < kK / 16; ++kk) {
        uint32_t a[kTilesM][4], b[kTilesN][2];
        UNROLL
        for (int i = 0; i < kTilesM; ++i)
          ldmatrix4(a[i], base + swizzled(warp_m * kWarpM + i * 16 + (lane & 15), kk * 2 + (lane >> 4)));
        UNROLL
        for (int j = 0; j < kTilesN; j += 2) {
          uint32_t r[4];
          const int row = warp_n * kWarpN + j * 8 + (lane & 7) + ((lane >> 4) << 3);
          ldmatrix4(r, base + kABytes + swizzled(row, kk * 2 + ((lane >> 3) & 1)));
          b[j][0] = r[0], b[j][1] = r[1], b[j + 1][0] = r[2], b[j + 1][1] = r[3];
        }
        UNROLL
        for (int i = 0; i < kTilesM; ++i) UNROLL
        for (int j = 0; j < kTilesN; ++j) mma_16816<bf16>(sums[i][j], a[i], b[j]);
      }
    }
    copy_async_wait<0>();
    const int g = lane >> 2, t = lane & 3;
    for (int i = 0; i < kTilesM; ++i)
      for (int j = 0; j < kTilesN; ++j)
        for (int half = 0; half < 2; ++half) {
          const int row = static_cast<int>(block_index_y()) * kM + warp_m * kWarpM + i * 16 + g + 8 * half;
          const int column = static_cast<int>(block_index()) * kN + warp_n * kWarpN + j * 8 + 2 * t;
          float* to = args.y + static_cast<int64_t>(row) * args.n + column;
          to[0] = sums[i][j][2 * half];
          to[1] = sums[i][j][2 * half + 1];
        }
  }
};

// One warp a row.
struct LayerNormKernel {
  static constexpr int kThreads = 256;
  static constexpr int kMinBlocks = 1;
  static constexpr Arch kArch = Arch::kAny;
  struct Args {
    const float* x;
    float* y;
    int rows, width;
    float epsilon;
  };
  GPU static float sum(float value) {
    UNROLL
    for (int mask = 16; mask > 0; mask /= 2) value += shuffle_xor(value, mask);
    return value;
  }
  GPU static void run(const Args& args) {
    const int row = static_cast<int>(block_index()) * (kThreads / 32) + thread_index() / 32;
    if (row >= args.rows) return;
    const float* x = args.x + static_cast<int64_t>(row) * args.width;
    float* y = args.y + static_cast<int64_t>(row) * args.width;
    float mean = 0;
    for (int i = lane_index(); i < args.width; i += 32) mean += x[i];
    mean = sum(mean) / static_cast<float>(args.width);
    float variance = 0;
    for (int i = lane_index(); i < args.width; i += 32) variance = multiply_add(x[i] - mean, x[i] - mean, variance);
    const float scale = fast_rsqrt(sum(variance) / static_cast<float>(args.width) + args.epsilon);
    for (int i = lane_index(); i < args.width; i += 32) y[i] = (x[i] - mean) * scale;
  }
};

}  // namespace embedcore::cuda
