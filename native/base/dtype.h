// Element types of safetensors, and conversions of scalars and of arrays to float32.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace embedcore {

static_assert(std::endian::native == std::endian::little, "tensor files are little-endian and read as they lie");

enum class DType : int32_t {
  kF64,
  kF32,
  kF16,
  kBF16,
  kF8E4M3,      // no infinity; 0x7f and 0xff are NaN
  kF8E5M2,      // the upper half of a float16
  kF8E8M0,      // a power of two, for scales
  kF8E4M3Fnuz,  // no infinity, no negative zero; 0x80 is NaN
  kF8E5M2Fnuz,
  kF6E2M3,
  kF6E3M2,
  kF4,
  kC64,
  kI64,
  kU64,
  kI32,
  kU32,
  kI16,
  kU16,
  kI8,
  kU8,
  kBool,
};

// Bits of one element; 4 or 6 for the packed kinds.
size_t dtype_bits(DType dtype);
// Bytes of one element; 0 for the kinds packed below a byte (kF4, kF6*).
size_t dtype_size(DType dtype);
// "float32", "bfloat16", "int8": the name in messages and in the public API.
const char* dtype_name(DType dtype);
// "F32", "BF16", "I8": the name in safetensors files.
const char* safetensors_name(DType dtype);
std::optional<DType> dtype_from_safetensors(std::string_view name);

// Whether to_float32 accepts it: every float kind of whole bytes.
bool is_float_kind(DType dtype);

inline float bf16_to_f32(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }
// Rounds to nearest, ties to even; a NaN stays a NaN (made quiet).
uint16_t f32_to_bf16(float value);
// Exact, including subnormals, infinities and NaN payloads (a signalling NaN is made quiet).
float f16_to_f32(uint16_t bits);
// Rounds to nearest, ties to even; beyond 65504 rounds to infinity, below 2^-24 to a subnormal or zero.
uint16_t f32_to_f16(float value);

// Reads n elements at `from`, which need not be aligned. Throws kInternal where !is_float_kind(dtype). float64 rounds
// to nearest.
void to_float32(const std::byte* from, DType dtype, float* to, size_t n);

}  // namespace embedcore
