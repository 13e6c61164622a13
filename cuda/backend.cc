#include "backend.h"

#include <algorithm>

#include "device.h"

namespace embedcore::cuda {

namespace {

#ifdef EMBEDCORE_EMULATED
constexpr const char* kName = "cuda-emulated";
#else
constexpr const char* kName = "cuda";
#endif

// 128 rows for each multiprocessor: the tiles of a product are 128 rows high, so a batch of this size is a whole number
// of rounds over the multiprocessors, however wide the matrix is, and a larger one computes no faster. Several GPUs
// share the table, so the smallest counts.
int64_t batch_tokens() {
  constexpr int64_t kTileRows = 128, kLeast = 1024;
  int64_t tokens = 0;
  for (int32_t i = 0, count = count_devices(); i < count; ++i) {
    Properties properties{};
    if (device_properties(i, &properties) != Error::kOk) continue;
    const int64_t own = kTileRows * properties.multiprocessors;
    tokens = tokens == 0 ? own : std::min(tokens, own);
  }
  return std::max(tokens, kLeast);
}

Backend make_table() {
#define EMBEDCORE_OWN_SLOT(name, Args) .name = cuda::name,
  return {.name = kName,
          .host_memory = false,
          .batch_tokens = batch_tokens(),
          .batches_in_flight = 2,
          .device_count = count_devices,
          .describe_device = describe_device,
          .open_device = open_device,
          .close_device = close_device,
          .allocate = allocate,
          .release = release,
          .open_stream = open_stream,
          .close_stream = close_stream,
          .upload = upload,
          .download = download,
          .wait = wait,
          .supports = supports,
          .pack_linear = pack_linear,
          .free_linear = free_linear,
          .plan_attention = plan_attention,
          .begin_replay = begin_replay,
          .end_replay = end_replay,
          EMBEDCORE_OPS(EMBEDCORE_OWN_SLOT)};
#undef EMBEDCORE_OWN_SLOT
}

}  // namespace

// Tensor cores have bfloat16 from compute capability 8.0 on, float16 and int8 on all that the library has code for.
bool supports(Device* device, DType dtype) {
  switch (dtype) {
    case DType::kF32:
    case DType::kF16:
    case DType::kI8: return true;
    case DType::kBF16: return device->architecture >= 80;
    default: return false;
  }
}

const Backend& backend() {
  static const Backend table = make_table();
  return table;
}

}  // namespace embedcore::cuda
