// Each operation of a warp against its definition in launch.h, with data in which no two elements are equal, so that a
// swapped lane, row or register shows.
#include <gtest/gtest.h>

#include <cmath>

#include "device_array.h"

namespace embedcore::cuda {

namespace {

// What one warp reads and writes.
struct WarpArgs {
  const uint32_t* in;  // of each lane kIn words
  uint32_t* out;
};

template <typename Body, int kWarps = 1>
struct WarpKernel {
  static constexpr int kThreads = 32 * kWarps;
  static constexpr int kMinBlocks = 1;
  static constexpr Arch kArch = Arch::kAny;
  using Args = WarpArgs;
  GPU static void run(const Args& args) { Body::run(args, thread_index()); }
};

template <typename Body, int kWarps = 1>
std::vector<uint32_t> run_warp(const std::vector<uint32_t>& in, size_t out_words, size_t shared_bytes = 8192) {
  DeviceArray<uint32_t> device_in(in), device_out(out_words);
  EXPECT_EQ((run<WarpKernel<Body, kWarps>>(Grid{}, shared_bytes, {device_in.data, device_out.data})), Error::kOk);
  return device_out.get();
}

uint32_t bits(float value) { return emulator::bits_of_float(value); }
float value_of(uint32_t word) { return emulator::float_of_bits(word); }

struct ShuffleBody {
  GPU static void run(const WarpArgs& args, int lane) {
    const uint32_t mine = args.in[lane];
    args.out[lane] = shuffle(mine, (lane * 7 + 3) & 31);
    args.out[32 + lane] = shuffle_xor(mine, 5);
    args.out[64 + lane] = ballot(mine % 3 == 0);
    args.out[96 + lane] = static_cast<uint32_t>(shuffle(static_cast<float>(mine), 17));
  }
};

TEST(Warp, ShufflesAndBallot) {
  std::vector<uint32_t> in(32);
  uint32_t votes = 0;
  for (uint32_t lane = 0; lane < 32; ++lane) {
    in[lane] = lane * lane + 11;
    if (in[lane] % 3 == 0) votes |= 1u << lane;
  }
  const auto out = run_warp<ShuffleBody>(in, 128);
  for (uint32_t lane = 0; lane < 32; ++lane) {
    EXPECT_EQ(out[lane], in[(lane * 7 + 3) & 31]);
    EXPECT_EQ(out[32 + lane], in[lane ^ 5]);
    EXPECT_EQ(out[64 + lane], votes);
    EXPECT_EQ(out[96 + lane], in[17]);
  }
}

// Four 8x8 matrices of 16 bits: element (m, row, column) is 256 m + 16 row + column. Rows lie in an order that is not
// that of the lanes.
constexpr uint32_t row_offset(int m, int row) { return static_cast<uint32_t>(((m * 8 + row) * 5 + 3) % 32 * 48); }

template <bool kTransposed>
struct LoadMatrixBody {
  GPU static void run(const WarpArgs& args, int lane) {
    const int m = lane / 8, row = lane % 8;
    for (int column = 0; column < 8; ++column)
      *shared_at<uint16_t>(row_offset(m, row) + 2 * column) = static_cast<uint16_t>(256 * m + 16 * row + column);
    sync_warp();
    uint32_t r[4];
    if constexpr (kTransposed) {
      ldmatrix4_transposed(r, row_offset(m, row));
    } else {
      ldmatrix4(r, row_offset(m, row));
    }
    for (int i = 0; i < 4; ++i) args.out[4 * lane + i] = r[i];
  }
};

TEST(Warp, LoadMatrix) {
  const auto out = run_warp<LoadMatrixBody<false>>({0}, 128);
  for (uint32_t lane = 0; lane < 32; ++lane)
    for (uint32_t m = 0; m < 4; ++m) {
      const uint32_t first = 256 * m + 16 * (lane / 4) + 2 * (lane % 4);
      EXPECT_EQ(out[4 * lane + m], first | (first + 1) << 16) << lane << ", " << m;
    }
}

TEST(Warp, LoadMatrixTransposed) {
  const auto out = run_warp<LoadMatrixBody<true>>({0}, 128);
  for (uint32_t lane = 0; lane < 32; ++lane)
    for (uint32_t m = 0; m < 4; ++m) {
      const uint32_t first = 256 * m + 16 * (2 * (lane % 4)) + lane / 4;
      EXPECT_EQ(out[4 * lane + m], first | (first + 16) << 16) << lane << ", " << m;
    }
}

// A product with operands of four, two and four words a lane; the layouts are those of launch.h.
enum class Product { kBf16, kF16, kF16K8, kBytes };
template <Product kProduct>
struct ProductBody {
  GPU static void run(const WarpArgs& args, int lane) {
    uint32_t words[10];
    for (int i = 0; i < 10; ++i) words[i] = args.in[10 * lane + i];
    const uint32_t a[4] = {words[0], words[1], words[2], words[3]}, b[2] = {words[4], words[5]};
    if constexpr (kProduct == Product::kBytes) {
      int32_t c[4];
      for (int i = 0; i < 4; ++i) c[i] = static_cast<int32_t>(words[6 + i]);
      mma_16832_u8s8(c, a, b);
      for (int i = 0; i < 4; ++i) args.out[4 * lane + i] = static_cast<uint32_t>(c[i]);
    } else {
      float c[4];
      for (int i = 0; i < 4; ++i) c[i] = static_cast<float>(static_cast<int32_t>(words[6 + i]));
      if constexpr (kProduct == Product::kBf16) mma_16816<bf16>(c, a, b);
      if constexpr (kProduct == Product::kF16) mma_16816<f16>(c, a, b);
      if constexpr (kProduct == Product::kF16K8) {
        const uint32_t half_a[2] = {a[0], a[1]}, half_b[1] = {b[0]};
        mma_1688_f16(c, half_a, half_b);
      }
      for (int i = 0; i < 4; ++i) args.out[4 * lane + i] = static_cast<uint32_t>(static_cast<int32_t>(c[i]));
    }
  }
};

// Small whole numbers, exact in every type, and different enough that exchanged elements change a sum.
int element_a(int row, int k) { return (row * 37 + k * 11) % 61 + (row == k ? 64 : 0); }
int element_b(int k, int column) { return (k * 29 + column * 13) % 53 - 26; }
int element_c(int row, int column) { return 1000 * row + 10 * column; }

template <Product kProduct>
void test_product() {
  constexpr int kPerWord = kProduct == Product::kBytes ? 4 : 2;
  constexpr int kDepth = kProduct == Product::kBytes ? 32 : kProduct == Product::kF16K8 ? 8 : 16;
  auto element_bits = [](int value) -> uint32_t {
    if (kProduct == Product::kBytes) return static_cast<uint32_t>(value) & 0xff;
    if (kProduct == Product::kBf16) return emulator::bf16_of_float(static_cast<float>(value));
    return emulator::f16_of_float(static_cast<float>(value));
  };
  std::vector<uint32_t> in(320, 0);
  for (int lane = 0; lane < 32; ++lane) {
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < kPerWord; ++i) {
      for (int r = 0; r < 4; ++r) {
        const int row = g + 8 * (r & 1), k = kPerWord * t + i + 4 * kPerWord * (r >> 1);
        if (k < kDepth) in[10 * lane + r] |= element_bits(element_a(row, k)) << (32 / kPerWord * i);
      }
      for (int r = 0; r < 2; ++r) {
        const int k = kPerWord * t + i + 4 * kPerWord * r;
        if (k < kDepth) in[10 * lane + 4 + r] |= element_bits(element_b(k, g)) << (32 / kPerWord * i);
      }
    }
    for (int i = 0; i < 4; ++i)
      in[10 * lane + 6 + i] = static_cast<uint32_t>(element_c(g + 8 * (i >> 1), 2 * t + (i & 1)));
  }
  const auto out = run_warp<ProductBody<kProduct>>(in, 128);
  for (int lane = 0; lane < 32; ++lane)
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4 + 8 * (i >> 1), column = 2 * (lane % 4) + (i & 1);
      int sum = element_c(row, column);
      for (int k = 0; k < kDepth; ++k) sum += element_a(row, k) * element_b(k, column);
      EXPECT_EQ(static_cast<int32_t>(out[4 * lane + i]), sum) << row << ", " << column;
    }
}

TEST(Warp, ProductOfBf16) { test_product<Product::kBf16>(); }
TEST(Warp, ProductOfF16) { test_product<Product::kF16>(); }
TEST(Warp, ProductOfF16WithDepth8) { test_product<Product::kF16K8>(); }
TEST(Warp, ProductOfBytes) { test_product<Product::kBytes>(); }

struct SmallBytesBody {
  GPU static void run(const WarpArgs& args, int lane) {
    int32_t c[2] = {static_cast<int32_t>(args.in[4 * lane + 2]), static_cast<int32_t>(args.in[4 * lane + 3])};
    mma_8816_u8s8(c, args.in[4 * lane], args.in[4 * lane + 1]);
    args.out[2 * lane] = static_cast<uint32_t>(c[0]);
    args.out[2 * lane + 1] = static_cast<uint32_t>(c[1]);
  }
};

TEST(Warp, ProductOfBytesFor8Rows) {
  std::vector<uint32_t> in(128, 0);
  for (int lane = 0; lane < 32; ++lane) {
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; ++i) {
      in[4 * lane] |= static_cast<uint32_t>(element_a(g, 4 * t + i) + 100) << 8 * i;
      in[4 * lane + 1] |= (static_cast<uint32_t>(element_b(4 * t + i, g)) & 0xff) << 8 * i;
    }
    for (int i = 0; i < 2; ++i) in[4 * lane + 2 + i] = static_cast<uint32_t>(element_c(g, 2 * t + i));
  }
  const auto out = run_warp<SmallBytesBody>(in, 64);
  for (int lane = 0; lane < 32; ++lane)
    for (int i = 0; i < 2; ++i) {
      const int row = lane / 4, column = 2 * (lane % 4) + i;
      int sum = element_c(row, column);
      for (int k = 0; k < 16; ++k) sum += (element_a(row, k) + 100) * element_b(k, column);
      EXPECT_EQ(static_cast<int32_t>(out[2 * lane + i]), sum) << row << ", " << column;
    }
}

// The extremes of bytes, and a sum that wraps around.
TEST(Warp, ProductOfExtremeBytes) {
  std::vector<uint32_t> in(320);
  for (int lane = 0; lane < 32; ++lane) {
    for (int r = 0; r < 4; ++r) in[10 * lane + r] = 0xffffffffu;
    for (int r = 0; r < 2; ++r) in[10 * lane + 4 + r] = 0x80808080u;
    for (int i = 0; i < 4; ++i) in[10 * lane + 6 + i] = 0x80000000u + 32 * 255 * 128 - 1;
  }
  const auto out = run_warp<ProductBody<Product::kBytes>>(in, 128);
  for (const uint32_t word : out) EXPECT_EQ(word, 0x7fffffffu);
}

struct HalfBody {
  GPU static void run(const WarpArgs& args, int lane) {
    uint32_t a[4] = {0, 0, 0, 0}, b[2] = {0, 0};
    float c[4] = {0, 0, 0, 0};
    // Row g takes element g of the list times 1.
    if (lane % 4 == 0) a[0] = args.in[lane / 4];
    if (lane % 4 == 0) b[0] = 0x3c00;
    mma_16816<f16>(c, a, b);
    args.out[2 * lane] = __builtin_bit_cast(uint32_t, c[0]);
    args.out[2 * lane + 1] = __builtin_bit_cast(uint32_t, c[1]);
  }
};

TEST(Warp, SpecialValuesOfF16) {
  const std::vector<uint32_t> halves = {0x0001, 0x83ff, 0x7c00, 0xfc00, 0x7e01, 0x7bff, 0x0400, 0x0000};
  const float values[] = {0x1p-24f, -0x1.ff8p-15f, HUGE_VALF, -HUGE_VALF, NAN, 65504, 0x1p-14f, 0};
  const auto out = run_warp<HalfBody>(halves, 64);
  for (int row = 0; row < 8; ++row)
    for (int column = 0; column < 8; ++column) {
      const float value = value_of(out[static_cast<size_t>(8 * row + column)]);
      if (std::isnan(values[row])) {
        EXPECT_TRUE(std::isnan(value)) << row;
      } else {
        EXPECT_EQ(bits(value), bits(values[row])) << row;
      }
    }
}

struct SyncBody {
  GPU static void run(const WarpArgs& args, int thread) {
    // Each warp passes a word to the next one around the block, through the block's barrier.
    *shared_at<uint32_t>(static_cast<uint32_t>(4 * thread)) = args.in[thread];
    sync_block();
    args.out[thread] = *shared_at<uint32_t>(static_cast<uint32_t>(4 * ((thread + 32) % 128)));
    sync_block();
    // Warps 0 and 1 give to 2 and 3 through a named barrier at which the givers do not wait.
    if (thread < 64) {
      *shared_at<uint32_t>(static_cast<uint32_t>(4 * thread)) = 3 * args.in[thread];
      arrive_named(1, 128);
    } else {
      sync_named(1, 128);
      args.out[64 + thread] = *shared_at<uint32_t>(static_cast<uint32_t>(4 * (thread - 64)));
    }
    atomic_add(args.out + 192, static_cast<uint32_t>(thread));
    atomic_max(reinterpret_cast<int*>(args.out + 193), thread * 5 % 128 - 1000);
  }
};

struct ClearKernel {
  static constexpr int kThreads = 32;
  static constexpr int kMinBlocks = 1;
  static constexpr Arch kArch = Arch::kAny;
  struct Args {
    uint32_t* at;
    uint32_t value;
  };
  GPU static void run(const Args& args) {
    if (thread_index() == 0) *args.at = args.value;
  }
};

TEST(Block, BarriersAndAtomics) {
  std::vector<uint32_t> in(128);
  for (uint32_t i = 0; i < 128; ++i) in[i] = i * i + 7;
  for (const uint64_t seed : {0, 1, 2, 3}) {
    const WithSettings with([&](emulator::Settings& settings) { settings.seed = seed; });
    DeviceArray<uint32_t> device_in(in), device_out(194);
    ASSERT_EQ(run<ClearKernel>(Grid{}, 0, {device_out.data + 192, 0}), Error::kOk);
    ASSERT_EQ(run<ClearKernel>(Grid{}, 0, {device_out.data + 193, 0x80000000u}), Error::kOk);
    ASSERT_EQ((run<WarpKernel<SyncBody, 4>>(Grid{}, 512, {device_in.data, device_out.data})), Error::kOk);
    const auto out = device_out.get();
    for (uint32_t i = 0; i < 128; ++i) EXPECT_EQ(out[i], in[(i + 32) % 128]);
    for (uint32_t i = 0; i < 64; ++i) EXPECT_EQ(out[128 + i], 3 * in[i]);
    EXPECT_EQ(out[192], 128u * 127 / 2);
    EXPECT_EQ(static_cast<int>(out[193]), 127 - 1000);
  }
}

struct CopyBody {
  GPU static void run(const WarpArgs& args, int lane) {
    if (lane < 17) copy_async16(static_cast<uint32_t>(16 * lane), args.in + 4 * lane, lane);
    copy_async_commit();
    copy_async_wait<0>();
    sync_warp();
    if (lane < 17)
      for (int i = 0; i < 4; ++i)
        args.out[4 * lane + i] = *shared_at<uint32_t>(static_cast<uint32_t>(16 * lane + 4 * i));
  }
};

TEST(Block, CopiesFillWithZeros) {
  std::vector<uint32_t> in(128);
  for (uint32_t i = 0; i < 128; ++i) in[i] = 0x01020304u * (i + 1);
  for (const int architecture : {75, 80}) {
    const WithSettings with([&](emulator::Settings& settings) { settings.architecture = architecture; });
    const auto out = run_warp<CopyBody>(in, 128);
    for (int lane = 0; lane < 17; ++lane) {
      unsigned char expected[16] = {};
      std::memcpy(expected, &in[static_cast<size_t>(4 * lane)], static_cast<size_t>(lane));
      EXPECT_EQ(std::memcmp(&out[static_cast<size_t>(4 * lane)], expected, 16), 0) << lane;
    }
  }
}

struct GridKernel {
  static constexpr int kThreads = 64;
  static constexpr int kMinBlocks = 1;
  static constexpr Arch kArch = Arch::kAny;
  struct Args {
    uint32_t* out;
  };
  GPU static void run(const Args& args) {
    const uint32_t block = block_index() + grid_size() * (block_index_y() + grid_size_y() * block_index_z());
    args.out[block * 64 + static_cast<uint32_t>(thread_index())] =
        block_index() + 10 * block_index_y() + 100 * block_index_z() + 1000 * static_cast<uint32_t>(thread_index());
  }
};

TEST(Block, GridOfThreeDimensions) {
  for (const int threads : {1, 2}) {
    const WithSettings with([&](emulator::Settings& settings) {
      settings.threads = threads;
      settings.seed = static_cast<uint64_t>(threads - 1);
    });
    DeviceArray<uint32_t> device_out(3 * 4 * 5 * 64);
    ASSERT_EQ(run<GridKernel>(Grid{.x = 3, .y = 4, .z = 5}, 0, {device_out.data}), Error::kOk);
    const auto out = device_out.get();
    for (uint32_t i = 0; i < out.size(); ++i) {
      const uint32_t block = i / 64;
      EXPECT_EQ(out[i], block % 3 + 10 * (block / 3 % 4) + 100 * (block / 12) + 1000 * (i % 64));
    }
  }
}

}  // namespace

}  // namespace embedcore::cuda
