// The table of one instruction set.
#include "cpu/backend.h"

#include <cstdlib>
#include <new>

#include "cpu/tile.h"

#define EMBEDCORE_TEXT(name) EMBEDCORE_TEXT_OF(name)
#define EMBEDCORE_TEXT_OF(name) #name

namespace embedcore::cpu::EMBEDCORE_ISA {

namespace {

struct Scratch {
  float* data = nullptr;
  size_t floats = 0;
  ~Scratch() { ::operator delete(data, std::align_val_t{64}); }
};

}  // namespace

float* thread_scratch(size_t floats) {
  thread_local Scratch scratch;
  if (scratch.floats < floats) {
    ::operator delete(scratch.data, std::align_val_t{64});
    scratch.floats = 0;
    scratch.data = static_cast<float*>(::operator new(floats * sizeof(float), std::align_val_t{64}, std::nothrow));
    if (!scratch.data) return nullptr;
    scratch.floats = floats;
  }
  return scratch.data;
}

extern const Backend kBackend;
const Backend kBackend = {
    kBackendVersion, "cpu-" EMBEDCORE_TEXT(EMBEDCORE_ISA),
    pack_linear, free_linear, linear, attention, norm, embed, gate, pool, bag, combine, normalize, similarity, quantize,
};

}  // namespace embedcore::cpu::EMBEDCORE_ISA
