// base/safetensors.h: any bytes are refused, or every view is inside them, fits its shape and dtype, and can be read.
#include "base/safetensors.h"

#include <vector>

#include "target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace embedcore;
  const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
  return run_parser({Code::kInvalidFile}, [&] {
    const auto tensors = SafeTensors::parse(bytes, "fuzz.safetensors");
    size_t total = 0;
    for (const TensorView& view : tensors->all()) {
      if (view.data < bytes.data() || view.bytes > size || view.data + view.bytes > bytes.data() + size)
        finding("a view leaves the file:", view.name.c_str());
      if (static_cast<uint64_t>(view.elements()) * dtype_bits(view.dtype) != view.bytes * 8)
        finding("a view does not fit its shape:", view.name.c_str());
      if (tensors->find(view.name) != &view) finding("find() gave another view:", view.name.c_str());
      total += view.bytes;
      unsigned sum = 0;
      for (size_t i = 0; i < view.bytes; ++i) sum += static_cast<unsigned>(view.data[i]);
      volatile unsigned keep = sum;
      (void)keep;
      if (is_float_kind(view.dtype)) {
        std::vector<float> values(static_cast<size_t>(view.elements()));
        to_float32(view.data, view.dtype, values.data(), values.size());
      }
    }
    if (total > size) finding("the views overlap");
  });
}
