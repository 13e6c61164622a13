#include "base/dtype.h"

#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"

namespace embedcore {

namespace {

struct Kind {
  DType dtype;
  const char* safetensors;
  const char* name;
  size_t bits;
  bool convertible;
};

constexpr Kind kKinds[] = {
    {DType::kF64, "F64", "float64", 64, true},
    {DType::kF32, "F32", "float32", 32, true},
    {DType::kF16, "F16", "float16", 16, true},
    {DType::kBF16, "BF16", "bfloat16", 16, true},
    {DType::kF8E4M3, "F8_E4M3", "float8_e4m3", 8, true},
    {DType::kF8E5M2, "F8_E5M2", "float8_e5m2", 8, true},
    {DType::kF8E8M0, "F8_E8M0", "float8_e8m0", 8, true},
    {DType::kF8E4M3Fnuz, "F8_E4M3FNUZ", "float8_e4m3fnuz", 8, true},
    {DType::kF8E5M2Fnuz, "F8_E5M2FNUZ", "float8_e5m2fnuz", 8, true},
    {DType::kF6E2M3, "F6_E2M3", "float6_e2m3", 6, false},
    {DType::kF6E3M2, "F6_E3M2", "float6_e3m2", 6, false},
    {DType::kF4, "F4", "float4", 4, false},
    {DType::kC64, "C64", "complex64", 64, false},
    {DType::kI64, "I64", "int64", 64, false},
    {DType::kU64, "U64", "uint64", 64, false},
    {DType::kI32, "I32", "int32", 32, false},
    {DType::kU32, "U32", "uint32", 32, false},
    {DType::kI16, "I16", "int16", 16, false},
    {DType::kU16, "U16", "uint16", 16, false},
    {DType::kI8, "I8", "int8", 8, false},
    {DType::kU8, "U8", "uint8", 8, false},
    {DType::kBool, "BOOL", "bool", 8, false},
};

constexpr bool in_order() {
  for (size_t i = 0; i < std::size(kKinds); ++i)
    if (static_cast<size_t>(kKinds[i].dtype) != i) return false;
  return true;
}
static_assert(in_order() && std::size(kKinds) == static_cast<size_t>(DType::kBool) + 1, "kKinds is indexed by DType");

const Kind& kind_of(DType dtype) { return kKinds[static_cast<size_t>(dtype)]; }

// A float of one byte: sign, exponent, mantissa. The encoding of NaN differs between the kinds.
float small_float(uint8_t bits, int mantissa_bits, int bias) {
  const int mantissa = bits & ((1 << mantissa_bits) - 1);
  const int exponent = (bits & 0x7f) >> mantissa_bits;
  const float magnitude =
      exponent == 0 ? std::ldexp(static_cast<float>(mantissa), 1 - bias - mantissa_bits)
                    : std::ldexp(static_cast<float>(mantissa + (1 << mantissa_bits)), exponent - bias - mantissa_bits);
  return bits & 0x80 ? -magnitude : magnitude;
}

float f8_to_f32(DType dtype, uint8_t bits) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  switch (dtype) {
    case DType::kF8E4M3: return (bits & 0x7f) == 0x7f ? kNan : small_float(bits, 3, 7);
    case DType::kF8E5M2: return f16_to_f32(static_cast<uint16_t>(bits << 8));
    case DType::kF8E4M3Fnuz: return bits == 0x80 ? kNan : small_float(bits, 3, 8);
    case DType::kF8E5M2Fnuz: return bits == 0x80 ? kNan : small_float(bits, 2, 16);
    default: return bits == 0xff ? kNan : std::ldexp(1.0f, bits - 127);  // kF8E8M0
  }
}

template <typename Element, typename Convert>
void convert_each(const std::byte* from, float* to, size_t n, Convert convert) {
  for (size_t i = 0; i < n; ++i) {
    Element element;
    std::memcpy(&element, from + i * sizeof element, sizeof element);
    to[i] = convert(element);
  }
}

}  // namespace

size_t dtype_bits(DType dtype) { return kind_of(dtype).bits; }
size_t dtype_size(DType dtype) { return kind_of(dtype).bits < 8 ? 0 : kind_of(dtype).bits / 8; }
const char* dtype_name(DType dtype) { return kind_of(dtype).name; }
const char* safetensors_name(DType dtype) { return kind_of(dtype).safetensors; }
bool is_float_kind(DType dtype) { return kind_of(dtype).convertible; }

std::optional<DType> dtype_from_safetensors(std::string_view name) {
  for (const Kind& kind : kKinds)
    if (name == kind.safetensors) return kind.dtype;
  return std::nullopt;
}

uint16_t f32_to_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float f16_to_f32(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16;
  const uint32_t magnitude = bits & 0x7fff;
  if (magnitude > 0x7c00) return std::bit_cast<float>(sign | 0x7fc00000 | magnitude << 13);
  if (magnitude == 0x7c00) return std::bit_cast<float>(sign | 0x7f800000);
  if (magnitude >= 0x0400) return std::bit_cast<float>(sign | ((magnitude << 13) + (uint32_t{127 - 15} << 23)));
  // Subnormal: the mantissa counts units of 2^-24, exact in float32.
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(static_cast<float>(magnitude) * 0x1p-24f));
}

uint16_t f32_to_f16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = bits >> 16 & 0x8000;
  const uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return static_cast<uint16_t>(sign | 0x7e00 | (magnitude >> 13 & 0x3ff));
  if (magnitude >= 0x47800000) return static_cast<uint16_t>(sign | 0x7c00);  // 65536 and more
  uint32_t half = 0, rest = 0, middle = 0;                                   // cut bits, and the value of half a unit
  if (magnitude >= 0x38800000) {                                             // 2^-14: a normal half
    half = (magnitude - (uint32_t{127 - 15} << 23)) >> 13;
    rest = magnitude & 0x1fff;
    middle = 0x1000;
  } else if (magnitude >= 0x33000000) {  // 2^-25: rounds to a subnormal half, or ties to zero
    const uint32_t mantissa = (magnitude & 0x7fffff) | 0x800000;
    const uint32_t shift = 126 - (magnitude >> 23);
    half = mantissa >> shift;
    rest = mantissa & ((uint32_t{1} << shift) - 1);
    middle = uint32_t{1} << (shift - 1);
  }
  // A carry of rounding up goes into the exponent, as it should: 65520 becomes infinity.
  if (rest > middle || (rest == middle && middle != 0 && (half & 1))) ++half;
  return static_cast<uint16_t>(sign | half);
}

void to_float32(const std::byte* from, DType dtype, float* to, size_t n) {
  switch (dtype) {
    case DType::kF64: return convert_each<double>(from, to, n, [](double value) { return static_cast<float>(value); });
    case DType::kF32:
      if (n > 0) std::memcpy(to, from, n * sizeof(float));
      return;
    case DType::kF16: return convert_each<uint16_t>(from, to, n, f16_to_f32);
    case DType::kBF16: return convert_each<uint16_t>(from, to, n, bf16_to_f32);
    case DType::kF8E4M3:
    case DType::kF8E5M2:
    case DType::kF8E8M0:
    case DType::kF8E4M3Fnuz:
    case DType::kF8E5M2Fnuz: {
      std::array<float, 256> table;
      for (size_t bits = 0; bits < table.size(); ++bits) table[bits] = f8_to_f32(dtype, static_cast<uint8_t>(bits));
      return convert_each<uint8_t>(from, to, n, [&](uint8_t bits) { return table[bits]; });
    }
    default: fail(Code::kInternal, "%s has no conversion to float32", dtype_name(dtype));
  }
}

}  // namespace embedcore
