// Numbers of 16 bits, and approximate functions with the errors that launch.h allows.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "emulator/checks.h"

namespace embedcore::cuda::emulator {

EMULATED_PART float float_of_bits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}
EMULATED_PART uint32_t bits_of_float(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return bits;
}

EMULATED_PART float float_of_bf16(uint16_t bits) { return float_of_bits(uint32_t{bits} << 16); }
// To nearest even; a NaN becomes the one that the device makes.
EMULATED_PART uint16_t bf16_of_float(float value) {
  const uint32_t bits = bits_of_float(value);
  if (value != value) return 0x7fff;
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

EMULATED_PART float float_of_f16(uint16_t bits) {
  _Float16 half;
  std::memcpy(&half, &bits, 2);
  return static_cast<float>(half);
}
EMULATED_PART uint16_t f16_of_float(float value) {
  if (value != value) return 0x7fff;
  const auto half = static_cast<_Float16>(value);
  uint16_t bits;
  std::memcpy(&bits, &half, 2);
  return bits;
}

// The error of an approximate function is a fixed function of its inputs and of the seed, so that equal rows stay
// equal.
extern uint64_t error_seed;
// Between -1 and 1.
EMULATED_PART float error_of(uint32_t x, uint32_t y, uint32_t function) {
  uint64_t h = (uint64_t{x} << 32 | y) * 0x9e3779b97f4a7c15 ^ (error_seed + function) * 0xd6e8feb86659fd93;
  h = (h ^ h >> 32) * 0xd6e8feb86659fd93;
  return static_cast<float>(static_cast<int32_t>(h >> 32)) * 0x1p-31f;
}
// Moves a value by up to 1.5 units in the last place: with the rounding of the exact value this stays within 2.
EMULATED_PART float with_ulps(float value, float error) {
  if (!(std::fabs(value) < HUGE_VALF) || std::fabs(value) < 0x1p-120f) return value;
  const int units = static_cast<int>(std::lrintf(error * 1.49f));
  return float_of_bits(bits_of_float(value) + static_cast<uint32_t>(units));
}

}  // namespace embedcore::cuda::emulator
