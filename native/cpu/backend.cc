// The table of one instruction set.
#include "cpu/backend.h"

#include <cstdlib>
#include <new>

#include "cpu/tile.h"
#include "ops/host_device.h"

#define EMBEDCORE_TEXT(name) EMBEDCORE_TEXT_OF(name)
#define EMBEDCORE_TEXT_OF(name) #name

namespace embedcore::cpu::EMBEDCORE_ISA {

namespace {

struct Block {
  void* data = nullptr;
  size_t bytes = 0;
  ~Block() { ::operator delete (data, std::align_val_t{64}); }
};

}  // namespace

void* thread_scratch(Scratch which, size_t bytes) {
  thread_local Block blocks[3];
  Block& block = blocks[static_cast<int>(which)];
  if (block.bytes < bytes) {
    ::operator delete (block.data, std::align_val_t{64});
    block.bytes = 0;
    block.data = ::operator new (bytes, std::align_val_t{64}, std::nothrow);
    if (!block.data) return nullptr;
    block.bytes = bytes;
  }
  return block.data;
}

bool supports(Device*, DType dtype) { return dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kI8; }

#define EMBEDCORE_USE_FLOAT(name, Args) using EMBEDCORE_FLOAT_ISA::name;
#define EMBEDCORE_USE_HALF(name, Args) using EMBEDCORE_HALF_ISA::name;
EMBEDCORE_FLOAT_OPS(EMBEDCORE_USE_FLOAT)
EMBEDCORE_HALF_OPS(EMBEDCORE_USE_HALF)
#undef EMBEDCORE_USE_FLOAT
#undef EMBEDCORE_USE_HALF

#define EMBEDCORE_OWN_SLOT(name, Args) .name = name,
extern const Backend kBackend;
const Backend kBackend = {.name = "cpu-" EMBEDCORE_TEXT(EMBEDCORE_ISA),
                          .batch_tokens = 256,  // their activations fit a core's L2 cache
                          EMBEDCORE_HOST_SLOTS,
                          .supports = supports,
                          .pack_linear = pack_linear,
                          .free_linear = free_linear,
                          .repack_linear = repack_linear,
                          EMBEDCORE_OPS(EMBEDCORE_OWN_SLOT) EMBEDCORE_TRAINING_OPS(EMBEDCORE_OWN_SLOT)};
#undef EMBEDCORE_OWN_SLOT
extern const WordKernels* const kWords;
const WordKernels* const kWords = &EMBEDCORE_FLOAT_ISA::kWordKernels;
extern const DoubleKernels* const kDoubles;
const DoubleKernels* const kDoubles = &EMBEDCORE_FLOAT_ISA::kDoubleKernels;

}  // namespace embedcore::cpu::EMBEDCORE_ISA
