// base/dtype.h. The conversions are checked over every 16-bit pattern against the formula of the format.
#include "base/dtype.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <set>
#include <vector>

#include "base_files.h"

namespace embedcore {
namespace {

constexpr DType kAll[] = {DType::kF64,    DType::kF32,    DType::kF16,        DType::kBF16,       DType::kF8E4M3,
                          DType::kF8E5M2, DType::kF8E8M0, DType::kF8E4M3Fnuz, DType::kF8E5M2Fnuz, DType::kF6E2M3,
                          DType::kF6E3M2, DType::kF4,     DType::kC64,        DType::kI64,        DType::kU64,
                          DType::kI32,    DType::kU32,    DType::kI16,        DType::kU16,        DType::kI8,
                          DType::kU8,     DType::kBool};

// The value of a binary float by its definition: sign, exponent, fraction.
double by_definition(uint32_t bits, int exponent_bits, int mantissa_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int top = (1 << exponent_bits) - 1;
  const double sign = bits >> (exponent_bits + mantissa_bits) & 1 ? -1.0 : 1.0;
  const int exponent = static_cast<int>(bits >> mantissa_bits) & top;
  const double fraction = std::ldexp(static_cast<double>(bits & ((1u << mantissa_bits) - 1)), -mantissa_bits);
  if (exponent == top)
    return fraction == 0 ? sign * std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
  return exponent == 0 ? sign * std::ldexp(fraction, 1 - bias) : sign * std::ldexp(1 + fraction, exponent - bias);
}

void expect_same(float got, double wanted, uint32_t bits) {
  if (std::isnan(wanted)) {
    ASSERT_TRUE(std::isnan(got)) << std::hex << bits;
  } else {
    ASSERT_EQ(static_cast<double>(got), wanted) << std::hex << bits;
    ASSERT_EQ(std::signbit(got), std::signbit(wanted)) << std::hex << bits;
  }
}

TEST(DType, NamesAndSizes) {
  std::set<std::string> names, stored;
  for (const DType dtype : kAll) {
    names.insert(dtype_name(dtype));
    stored.insert(safetensors_name(dtype));
    EXPECT_EQ(dtype_from_safetensors(safetensors_name(dtype)), dtype);
  }
  EXPECT_EQ(names.size(), std::size(kAll));
  EXPECT_EQ(stored.size(), std::size(kAll));
  EXPECT_STREQ(dtype_name(DType::kBF16), "bfloat16");
  EXPECT_EQ(dtype_size(DType::kF64), 8u);
  EXPECT_EQ(dtype_size(DType::kF32), 4u);
  EXPECT_EQ(dtype_size(DType::kBF16), 2u);
  EXPECT_EQ(dtype_size(DType::kBool), 1u);
  EXPECT_EQ(dtype_size(DType::kC64), 8u);
  EXPECT_EQ(dtype_size(DType::kF4), 0u);
  EXPECT_EQ(dtype_bits(DType::kF4), 4u);
  EXPECT_EQ(dtype_bits(DType::kF6E3M2), 6u);
  for (const char* unknown : {"", "f32", "F33", "F32 ", "FLOAT"})
    EXPECT_EQ(dtype_from_safetensors(unknown), std::nullopt) << unknown;
}

TEST(DType, Float16ReadsEveryPattern) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits)
    expect_same(f16_to_f32(static_cast<uint16_t>(bits)), by_definition(bits, 5, 10), bits);
}

TEST(DType, Bfloat16ReadsEveryPattern) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits)
    expect_same(bf16_to_f32(static_cast<uint16_t>(bits)), by_definition(bits, 8, 7), bits);
}

// Every value of the narrow type is restored, the middle of two neighbours is rounded to the even one, and a value just
// off the middle to the nearer one.
template <typename Narrow, typename Widen>
void check_rounding(Narrow narrow, Widen widen, uint16_t infinity) {
  for (uint32_t bits = 0; bits < infinity; ++bits) {
    const auto low = static_cast<uint16_t>(bits), high = static_cast<uint16_t>(bits + 1);
    for (const uint16_t sign : {uint16_t{0}, uint16_t{0x8000}}) {
      const auto signed_low = static_cast<uint16_t>(low | sign), signed_high = static_cast<uint16_t>(high | sign);
      ASSERT_EQ(narrow(widen(signed_low)), signed_low);
      // The upper neighbour of the largest finite value counts as the next power of two.
      const double above = high == infinity ? 2 * static_cast<double>(widen(low)) -
                                                  static_cast<double>(widen(static_cast<uint16_t>(low - 1)))
                                            : static_cast<double>(widen(high));
      const double exact = (static_cast<double>(widen(low)) + above) / 2;
      const auto middle = static_cast<float>(exact);
      if (static_cast<double>(middle) != exact)
        continue;  // the middle of two subnormals of bfloat16 may need more bits than float32 has
      const float toward = sign ? -middle : middle;
      ASSERT_EQ(narrow(toward), bits & 1 ? signed_high : signed_low) << std::hex << bits;
      ASSERT_EQ(narrow(std::nextafter(toward, 0.0f)), signed_low) << std::hex << bits;
      ASSERT_EQ(narrow(std::nextafter(toward, sign ? -INFINITY : INFINITY)), signed_high) << std::hex << bits;
    }
  }
}

TEST(DType, Float16RoundsToNearestEven) {
  check_rounding(f32_to_f16, f16_to_f32, 0x7c00);
  EXPECT_EQ(f32_to_f16(65519.996f), 0x7bff);
  EXPECT_EQ(f32_to_f16(65520.0f), 0x7c00);
  EXPECT_EQ(f32_to_f16(std::numeric_limits<float>::max()), 0x7c00);
  EXPECT_EQ(f32_to_f16(-INFINITY), 0xfc00);
  EXPECT_EQ(f32_to_f16(0x1p-25f), 0);
  EXPECT_EQ(f32_to_f16(std::nextafter(0x1p-25f, 1.0f)), 1);
  EXPECT_EQ(f32_to_f16(std::numeric_limits<float>::denorm_min()), 0);
  EXPECT_EQ(f32_to_f16(-0.0f), 0x8000);
  EXPECT_TRUE(std::isnan(f16_to_f32(f32_to_f16(NAN))));
  // A NaN whose payload is in the bits that are cut must not become infinity.
  EXPECT_TRUE(std::isnan(f16_to_f32(f32_to_f16(std::bit_cast<float>(0x7f800001u)))));
}

TEST(DType, Bfloat16RoundsToNearestEven) {
  check_rounding(f32_to_bf16, bf16_to_f32, 0x7f80);
  EXPECT_EQ(f32_to_bf16(std::numeric_limits<float>::max()), 0x7f80);
  EXPECT_EQ(f32_to_bf16(-0.0f), 0x8000);
  EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(std::bit_cast<float>(0x7f800001u)))));
  EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(std::bit_cast<float>(0xffffffffu)))));
}

std::vector<float> convert(DType dtype, const std::vector<uint8_t>& bytes, size_t n) {
  std::vector<float> out(n);
  to_float32(reinterpret_cast<const std::byte*>(bytes.data()), dtype, out.data(), n);
  return out;
}

std::vector<uint8_t> all_bytes() {
  std::vector<uint8_t> bytes(256);
  for (size_t i = 0; i < 256; ++i) bytes[i] = static_cast<uint8_t>(i);
  return bytes;
}

TEST(DType, Float8FollowsTheFormats) {
  const auto e4m3 = convert(DType::kF8E4M3, all_bytes(), 256);
  const auto e5m2 = convert(DType::kF8E5M2, all_bytes(), 256);
  const auto e4m3fnuz = convert(DType::kF8E4M3Fnuz, all_bytes(), 256);
  const auto e5m2fnuz = convert(DType::kF8E5M2Fnuz, all_bytes(), 256);
  const auto e8m0 = convert(DType::kF8E8M0, all_bytes(), 256);
  for (uint32_t bits = 0; bits < 256; ++bits) {
    expect_same(e5m2[bits], by_definition(bits, 5, 2), bits);
    const bool special = (bits & 0x78) == 0x78;  // the top exponent is an ordinary one in e4m3, but for NaN
    if (!special) expect_same(e4m3[bits], by_definition(bits, 4, 3), bits);
    // fnuz: the same numbers with a bias greater by one, and one NaN where negative zero would be.
    if (bits != 0x80 && !special) expect_same(e4m3fnuz[bits], by_definition(bits, 4, 3) / 2, bits);
    if (bits != 0x80 && (bits & 0x7c) != 0x7c) expect_same(e5m2fnuz[bits], by_definition(bits, 5, 2) / 2, bits);
  }
  EXPECT_EQ(e4m3[0x7e], 448.0f);
  EXPECT_EQ(e4m3[0x78], 256.0f);
  EXPECT_TRUE(std::isnan(e4m3[0x7f]) && std::isnan(e4m3[0xff]));
  EXPECT_EQ(e4m3fnuz[0x7f], 240.0f);
  EXPECT_EQ(e5m2fnuz[0x7f], 57344.0f);
  EXPECT_TRUE(std::isnan(e4m3fnuz[0x80]) && std::isnan(e5m2fnuz[0x80]));
  EXPECT_EQ(e8m0[127], 1.0f);
  EXPECT_EQ(e8m0[0], 0x1p-127f);
  EXPECT_EQ(e8m0[254], 0x1p127f);
  EXPECT_TRUE(std::isnan(e8m0[255]));
}

TEST(DType, ReadsUnalignedRuns) {
  const std::vector<float> wanted = {1.5f, -2.25f, 0.0f, 1024.0f, -0.03125f};
  for (size_t shift = 0; shift < 8; ++shift) {
    std::vector<uint8_t> bytes(shift + wanted.size() * 8);
    for (const DType dtype : {DType::kF64, DType::kF32, DType::kF16, DType::kBF16}) {
      uint8_t* to = bytes.data() + shift;
      for (const float value : wanted) {
        const double wide = value;
        const uint16_t half = dtype == DType::kF16 ? f32_to_f16(value) : f32_to_bf16(value);
        const void* source = dtype == DType::kF64   ? static_cast<const void*>(&wide)
                             : dtype == DType::kF32 ? static_cast<const void*>(&value)
                                                    : &half;
        std::memcpy(to, source, dtype_size(dtype));
        to += dtype_size(dtype);
      }
      std::vector<float> got(wanted.size());
      to_float32(reinterpret_cast<const std::byte*>(bytes.data()) + shift, dtype, got.data(), got.size());
      EXPECT_EQ(got, wanted) << dtype_name(dtype) << " at " << shift;
    }
  }
}

TEST(DType, OtherKindsAreRefused) {
  for (const DType dtype : kAll) {
    float out = 0;
    const std::byte bytes[8] = {};
    if (is_float_kind(dtype)) {
      EXPECT_NO_THROW(to_float32(bytes, dtype, &out, 1)) << dtype_name(dtype);
      EXPECT_NO_THROW(to_float32(nullptr, dtype, nullptr, 0)) << dtype_name(dtype);
    } else {
      expect_error(Code::kInternal, {dtype_name(dtype)}, [&] { to_float32(bytes, dtype, &out, 1); });
    }
  }
}

}  // namespace
}  // namespace embedcore
