// Loops that measure the limits of the machine: arithmetic on registers only, and reading. limits.cc is compiled for
// this machine (-march=native), independently of the other code. Nothing here is part of the package.
#pragma once

#include <cstddef>
#include <cstdint>

namespace embedcore::bench {

struct Loop {
  const char* precision;
  const char* instructions;
  double operations;            // of one round, a multiply and an add counted as two
  void (*run)(int64_t rounds);  // null: the processor has no such instruction
};

extern const Loop kFloat32Loop, kBfloat16Loop, kInt8Loop;
extern const Loop kFloat32Loop256;  // in registers of 256 bits if the processor has wider ones, else null

// Reads `bytes` from an address that is a multiple of 64; a multiple of 256 bytes.
void read_bytes(const void* data, size_t bytes);

}  // namespace embedcore::bench
