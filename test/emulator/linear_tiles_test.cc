// Every tile of linear's kernels, whichever a call would choose: the same bits from all tiles of a family, close to
// sums in float64, and nothing written outside of y.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <random>

#include "device_array.h"
#include "linear_f32.cuh"
#include "linear_mma.cuh"
#include "linear_sm90.cuh"
#include "pack.h"

namespace embedcore::cuda {
namespace {

struct Sizes {
  int64_t rows, in, out, gap;
};
// More than the widest tile both ways, and less than the narrowest; rows of W that end inside a chunk of 16 bytes, a
// product, a step of 64 bytes and one of 128.
constexpr Sizes kSizes[] = {{133, 200, 261, 0}, {133, 40, 261, 8}, {17, 328, 33, 16}, {5, 72, 9, 8}, {70, 64, 300, 24}};

// The numbers of one call, in the dtype of the arithmetic. Int8: whole numbers, W of -127 to 127 and x of 0 to 255.
template <typename T>
struct Problem {
  explicit Problem(const Sizes& of)
      : sizes(of),
        y_stride(of.out + of.gap),
        row_elements(round_up_to(of.in * int64_t{sizeof(T)}, kRowBytes) / int64_t{sizeof(T)}),
        x_stride(sizeof(T) == 1 ? row_elements : of.in + of.gap),  // rows of bytes are prepared
        x(static_cast<size_t>(of.rows * x_stride), number(NAN)),
        weight(static_cast<size_t>(of.out * row_elements), number(0)) {
    std::mt19937 random(static_cast<uint32_t>(of.rows + of.in));
    const auto uniform = [&] { return static_cast<float>(random()) * 0x1p-31f - 1; };
    for (int64_t row = 0; row < of.rows; ++row)
      for (int64_t k = 0; k < of.in; ++k) x[static_cast<size_t>(row * x_stride + k)] = number(uniform());
    for (int64_t o = 0; o < of.out; ++o)
      for (int64_t k = 0; k < of.in; ++k) weight[static_cast<size_t>(o * row_elements + k)] = number(uniform());
    const auto columns = static_cast<size_t>(round_up_to(of.out, kMostTileColumns));
    bias.resize(columns);
    scale.resize(columns);
    sums.resize(columns);
    for (size_t o = 0; o < columns; ++o) bias[o] = uniform(), scale[o] = 1e-3f * uniform();
    for (int64_t row = 0; row < of.rows; ++row) {
      step.push_back(uniform());
      zero.push_back(static_cast<int32_t>(random() % 256));
    }
    for (size_t i = 0; i < static_cast<size_t>(of.rows * y_stride); ++i) residual.push_back(uniform());
    for (int64_t o = 0; o < of.out; ++o)
      for (int64_t k = 0; k < of.in; ++k) sums[static_cast<size_t>(o)] += static_cast<int32_t>(weight_at(o, k));
  }

  static T number(float value) {
    if constexpr (sizeof(T) == 1)
      return static_cast<T>(std::isnan(value) ? 0x77 : static_cast<int>(value * 127));
    else
      return from_float<T>(value);
  }
  double weight_at(int64_t o, int64_t k) const {
    return static_cast<double>(to_float(weight[static_cast<size_t>(o * row_elements + k)]));
  }
  double x_at(int64_t row, int64_t k) const {
    const T value = x[static_cast<size_t>(row * x_stride + k)];
    if constexpr (sizeof(T) == 1) return static_cast<uint8_t>(value);
    return static_cast<double>(to_float(value));
  }
  // What the activation is taken of, and a bound on its error: of a sum of n products in float32 in any order.
  std::pair<double, double> sum_of(int64_t row, int64_t o) const {
    double sum = 0, size = 0;
    for (int64_t k = 0; k < sizes.in; ++k) {
      const double u = sizeof(T) == 1 ? x_at(row, k) - zero[static_cast<size_t>(row)] : x_at(row, k);
      sum += u * weight_at(o, k);
      size += std::abs(u * weight_at(o, k));
    }
    const double factor = sizeof(T) == 1 ? double{step[static_cast<size_t>(row)]} * scale[static_cast<size_t>(o)] : 1.0;
    return {sum * factor + bias[static_cast<size_t>(o)],
            static_cast<double>(sizes.in + 4) * 0x1p-23 * (size * std::abs(factor) + 1)};
  }

  Sizes sizes;
  int64_t y_stride, row_elements, x_stride;
  std::vector<T> x, weight;
  std::vector<float> bias, scale, step, residual;
  std::vector<int32_t> sums, zero;
};

// Runs `launch(index, x, weight, tail)` for every index and compares. Y: float, bf16 or f16.
template <typename T, typename Y, typename Launch>
void expect_equal_tiles(const Problem<T>& of, int tiles, Activation activation, Launch&& launch) {
  const DeviceArray<T> x(of.x), weight(of.weight);
  const DeviceArray<float> bias(of.bias), scale(of.scale), step(of.step), residual(of.residual);
  const DeviceArray<int32_t> sums(of.sums), zero(of.zero);
  constexpr DType kY = sizeof(Y) == 4 ? DType::kF32 : std::is_same_v<Y, bf16> ? DType::kBF16 : DType::kF16;
  const std::vector<Y> untouched(static_cast<size_t>(of.sizes.rows * of.y_stride), std::bit_cast<Y>(Y{}));
  std::vector<Y> first;
  for (int index = 0; index < tiles; ++index) {
    SCOPED_TRACE(testing::Message() << "tile " << index << ", rows " << of.sizes.rows << ", in " << of.sizes.in
                                    << ", out " << of.sizes.out);
    DeviceArray<Y> y(untouched);
    const Tail tail{.y = y.data,
                    .residual = residual.data,
                    .bias = bias.data,
                    .y_stride = of.y_stride,
                    .residual_stride = of.y_stride,
                    .rows = of.sizes.rows,
                    .out = of.sizes.out,
                    .activation = activation,
                    .y_dtype = kY,
                    .wide = of.y_stride % 8 == 0,
                    .scale = scale.data,
                    .sums = sums.data,
                    .step = step.data,
                    .zero = zero.data};
    TestStream stream;
    ASSERT_EQ(launch(stream.handle, index, x.data, weight.data, tail), Error::kOk);
    stream.wait();
    const std::vector<Y> got = y.get();
    for (int64_t row = 0; row < of.sizes.rows; ++row) {
      for (int64_t o = 0; o < of.y_stride; ++o) {
        const auto at = static_cast<size_t>(row * of.y_stride + o);
        if (o >= of.sizes.out) {
          ASSERT_EQ(std::memcmp(&got[at], &untouched[at], sizeof(Y)), 0) << row << ", " << o << " is not of y";
        } else if (index > 0) {
          ASSERT_EQ(std::memcmp(&got[at], &first[at], sizeof(Y)), 0) << row << ", " << o;
        } else if (activation == Activation::kIdentity) {
          const auto [sum, error] = of.sum_of(row, o);
          const double wanted = sum + of.residual[at];
          const double rounding = sizeof(Y) == 4 ? 0 : std::abs(wanted) * (kY == DType::kBF16 ? 0x1p-8 : 0x1p-11);
          ASSERT_NEAR(to_float(got[at]), wanted, error + rounding) << row << ", " << o;
        }
      }
    }
    if (index == 0) first = got;
  }
}

template <typename Product, typename T, const auto& kTiles>
void expect_equal_tiles() {
  for (const Sizes& sizes : kSizes) {
    const Problem<T> problem(sizes);
    const auto launch = [&](StreamHandle stream, int index, const T* x, const T* weight, const Tail& tail) {
      constexpr int64_t kElement = sizeof(T);
      return launch_tile<Product, kTiles>(stream, index,
                                          {.x = reinterpret_cast<const std::byte*>(x),
                                           .x_stride = problem.x_stride * kElement,
                                           .x_bytes = (kElement == 1 ? problem.row_elements : sizes.in) * kElement,
                                           .weight = reinterpret_cast<const std::byte*>(weight),
                                           .row_bytes = problem.row_elements * kElement,
                                           .tail = tail});
    };
    constexpr int kCount = static_cast<int>(std::size(kTiles));
    expect_equal_tiles<T, float>(problem, kCount, Activation::kIdentity, launch);
    expect_equal_tiles<T, f16>(problem, kCount, Activation::kIdentity, launch);
    expect_equal_tiles<T, bf16>(problem, kCount, Activation::kGelu, launch);
    expect_equal_tiles<T, float>(problem, kCount, Activation::kSilu, launch);
  }
}

TEST(LinearTiles, Bfloat16) { expect_equal_tiles<Product16<bf16>, bf16, kTilesSm80>(); }
TEST(LinearTiles, Float16) { expect_equal_tiles<Product16<f16>, f16, kTilesSm80>(); }
TEST(LinearTiles, Int8) { expect_equal_tiles<Product8, int8_t, kTilesSm80>(); }

TEST(LinearTiles, Float16OnSm75) {
  const WithSettings settings([](emulator::Settings& now) { now.architecture = 75; });
  expect_equal_tiles<Product16Sm75, f16, kTilesSm75>();
}
TEST(LinearTiles, Int8OnSm75) {
  const WithSettings settings([](emulator::Settings& now) { now.architecture = 75; });
  expect_equal_tiles<Product8Sm75, int8_t, kTilesSm75>();
}

// With fewer multiprocessors than tiles, so that a block takes several and the ring of stages goes on.
template <typename T>
void expect_equal_hopper_tiles(uint64_t seed) {
  const WithSettings settings([=](emulator::Settings& now) {
    now.architecture = 90;
    now.seed = seed;
  });
  for (const Sizes& sizes : kSizes) {
    if (sizes.gap % 8 != 0) continue;
    const Problem<T> problem(sizes);
    const auto launch = [&](StreamHandle stream, int index, const T* x, const T* weight, const Tail& tail) {
      constexpr int64_t kElement = sizeof(T);
      return launch_hopper<T>(stream, index,
                              {.x = reinterpret_cast<const std::byte*>(x),
                               .x_stride = problem.x_stride * kElement,
                               .x_bytes = sizes.in * kElement,
                               .weight = reinterpret_cast<const std::byte*>(weight),
                               .row_bytes = problem.row_elements * kElement,
                               .tail = tail},
                              2);
    };
    constexpr int kCount = static_cast<int>(std::size(kTilesSm90));
    expect_equal_tiles<T, float>(problem, kCount, Activation::kIdentity, launch);
    expect_equal_tiles<T, bf16>(problem, kCount, Activation::kGelu, launch);
  }
}
TEST(LinearTiles, Bfloat16OnSm90) {
  for (const uint64_t seed : {0, 1, 2, 3}) expect_equal_hopper_tiles<bf16>(seed);
}
TEST(LinearTiles, Float16OnSm90) { expect_equal_hopper_tiles<f16>(4); }

TEST(LinearTiles, Float32) {
  for (const Sizes& sizes : kSizes) {
    const Problem<float> problem(sizes);
    const auto launch = [&](StreamHandle stream, int index, const float* x, const float* weight, const Tail& tail) {
      return launch_float_tile(stream, index,
                               {.x = x,
                                .x_stride = problem.x_stride,
                                .in = static_cast<int32_t>(sizes.in),
                                .weight = weight,
                                .row_elements = static_cast<int32_t>(problem.row_elements),
                                .tail = tail});
    };
    constexpr int kCount = static_cast<int>(std::size(kFloatTiles));
    expect_equal_tiles<float, float>(problem, kCount, Activation::kIdentity, launch);
    expect_equal_tiles<float, f16>(problem, kCount, Activation::kGelu, launch);
  }
}

// --- the choice of a tile ---

Properties card(int architecture, int multiprocessors, int shared_kilobytes) {
  Properties properties{};
  properties.major = architecture / 10;
  properties.minor = architecture % 10;
  properties.multiprocessors = multiprocessors;
  properties.shared_bytes_per_multiprocessor = shared_kilobytes << 10;
  return properties;
}
const Properties kA100 = card(80, 108, 164), kA10 = card(86, 72, 100), kT4 = card(75, 40, 64);

TileSpec chosen(const Properties& on, DType dtype, int64_t rows, int64_t out) {
  const TileChoice choice = choose_tile(on, on.major * 10 + on.minor, dtype, rows, out);
  EXPECT_EQ(choice.family, on.major < 8 ? TileFamily::kSm75 : TileFamily::kSm80);
  return on.major < 8 ? kTilesSm75[choice.index] : kTilesSm80[choice.index];
}

TEST(LinearTileChoice, ManyRowsTakeTheWidestTileOfTheCard) {
  EXPECT_EQ(chosen(kA100, DType::kBF16, 65536, 3072).columns, 256);
  EXPECT_EQ(chosen(kA10, DType::kBF16, 65536, 3072).columns, 128);
  EXPECT_EQ(chosen(kA10, DType::kI8, 65536, 3072).rows, 128);
  EXPECT_EQ(chosen(kT4, DType::kF16, 65536, 3072).rows, 128);
  EXPECT_EQ(kFloatTiles[choose_tile(kA10, 86, DType::kF32, 65536, 3072).index].rows, 128);
}

// A query waits for the weights alone: a tile must not be higher than needed, and most multiprocessors must read.
TEST(LinearTileChoice, AQueryReadsTheWeightsWithMostMultiprocessors) {
  for (const Properties& on : {kA100, kA10, kT4}) {
    for (const int64_t out : {3584, 4608, 37888}) {
      const TileSpec tile = chosen(on, DType::kF16, 10, out);
      EXPECT_EQ(tile.rows, 16);
      EXPECT_GE((out + tile.columns - 1) / tile.columns, on.multiprocessors);
    }
  }
  EXPECT_EQ(kFloatTiles[choose_tile(kA10, 86, DType::kF32, 10, 768).index].rows, 16);
}

// 22 tiles of 128 rows and 6 of 128 columns are a tile for each of 132 multiprocessors; 256 columns would leave half of
// them idle.
TEST(LinearTileChoice, FewTilesAreSharedByAllMultiprocessors) {
  EXPECT_EQ(chosen(card(80, 132, 164), DType::kBF16, 2816, 768).columns, 128);
  EXPECT_LT(chosen(kA100, DType::kBF16, 100, 768).rows, 128);
}

TEST(LinearTileChoice, HopperTakesWgmmaForWhatItHas) {
  const Properties h100 = card(90, 132, 228);
  const auto columns = [&](int64_t rows, int64_t out) {
    const TileChoice choice = choose_tile(h100, 90, DType::kBF16, rows, out);
    EXPECT_EQ(choice.family, TileFamily::kSm90);
    return kTilesSm90[choice.index].columns;
  };
  EXPECT_EQ(columns(65536, 4608), 256);
  EXPECT_EQ(columns(2816, 768), 128);
  // A query: most multiprocessors read weights.
  EXPECT_EQ(columns(10, 3584), 32);
  EXPECT_EQ(choose_tile(h100, 90, DType::kI8, 65536, 768).family, TileFamily::kSm80);
  EXPECT_EQ(choose_tile(h100, 90, DType::kF32, 65536, 768).family, TileFamily::kFloat);
  // Built for older cards alone, the library has no code of wgmma.
  EXPECT_EQ(choose_tile(h100, 80, DType::kBF16, 65536, 768).family, TileFamily::kSm80);
}

}  // namespace
}  // namespace embedcore::cuda
