#include "model/quantised.h"

#include <string_view>

#include "base/error.h"

namespace embedcore {

namespace {

struct Format {
  const char* suffix;
  const char* name;
};

constexpr Format kFormats[] = {
    {".weight_scale", "FP8 or compressed-tensors"},
    {".weight_scale_inv", "FP8 in blocks"},
    {".weight_packed", "compressed-tensors"},
    {".weight_zero_point", "compressed-tensors"},
    {".qweight", "GPTQ or AWQ"},
    {".qzeros", "GPTQ or AWQ"},
    {".SCB", "bitsandbytes in 8 bits"},
    {".weight.absmax", "bitsandbytes in 4 bits"},
    {".weight.quant_map", "bitsandbytes in 4 bits"},
};

}  // namespace

void refuse_quantised_weights(const WeightFiles& files) {
  for (const TensorView& view : files.all())
    for (const Format& format : kFormats)
      if (std::string_view(view.name).ends_with(format.suffix))
        fail(Code::kUnsupportedModel,
             "Expected float32, float16 or bfloat16 weights but found the tensor %s of %s: quantised weights are not "
             "supported; save the model dequantised, or take the original, and choose a dtype when it is loaded",
             quote(view.name).c_str(), format.name);
}

}  // namespace embedcore
