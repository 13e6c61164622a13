// model/quantised.h: the tensors of each format are named, whatever config.json says.
#include "model/quantised.h"

#include "base_files.h"

namespace embedcore {
namespace {

std::shared_ptr<const WeightFiles> file_with(const TemporaryDirectory& directory, const std::string& name) {
  const std::string header = R"({"layer.dense.weight": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, ")" +
                             name + R"(": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}})";
  std::string content(8, '\0');
  const uint64_t size = header.size();
  std::memcpy(content.data(), &size, sizeof size);
  directory.write("model.safetensors", content + header + std::string(8, '\0'));
  return WeightFiles::open(directory.path());
}

TEST(Quantised, TensorsOfEachFormatAreRefused) {
  const TemporaryDirectory directory;
  for (const char* name : {"weight_scale", "weight_scale_inv", "weight_packed", "weight_zero_point", "qweight",
                           "qzeros", "SCB", "weight.absmax", "weight.quant_map"}) {
    const std::string tensor = std::string("layer.dense.") + name;
    expect_error(Code::kUnsupportedModel, {tensor, "quantised"},
                 [&] { refuse_quantised_weights(*file_with(directory, tensor)); });
  }
  refuse_quantised_weights(*file_with(directory, "layer.dense.bias"));
  refuse_quantised_weights(*file_with(directory, "a_scale"));
}

}  // namespace
}  // namespace embedcore
