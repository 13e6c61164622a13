#include "model/head.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "model/layer.h"
#include "ops/linear.h"
#include "ops/norm.h"
#include "ops/vectors.h"

namespace embedcore {

Head::Head(const std::vector<HeadModule>& modules, const Backend& backend) : backend_(&backend) {
  for (const HeadModule& module : modules) {
    Loaded loaded{module, {}, {}, {}};
    if (module.kind == HeadModule::Kind::kDense) {
      const TensorReader reader(WeightFiles::open(module.directory), module.directory, {""}, "linear.weight");
      loaded.linear = reader.linear(backend, DType::kF32, {"linear"}, module.in, module.out, module.bias);
      // The learned residual projection; where sizes agree the reference adds the input itself.
      if (module.residual && reader.find_optional("residual.weight"))
        loaded.residual = reader.linear(backend, DType::kF32, {"residual"}, module.in, module.out, false);
      if (module.residual && !loaded.residual.get() && module.in != module.out)
        fail(Code::kMissingTensor, "%s: a dense module with use_residual from %lld to %lld needs \"residual.weight\"",
             module.directory.c_str(), static_cast<long long>(module.in), static_cast<long long>(module.out));
    } else if (module.kind == HeadModule::Kind::kLayerNorm) {
      const TensorReader reader(WeightFiles::open(module.directory), module.directory, {""}, "norm.weight");
      loaded.norm = reader.norm("norm", module.in, true);
    }
    modules_.push_back(std::move(loaded));
  }
}

bool Head::normalizes() const {
  return std::any_of(modules_.begin(), modules_.end(),
                     [](const Loaded& loaded) { return loaded.module.kind == HeadModule::Kind::kNormalize; });
}

int64_t Head::out_width(int64_t width) const {
  for (const Loaded& loaded : modules_) {
    if (loaded.module.kind == HeadModule::Kind::kNormalize) continue;
    if (loaded.module.in != width)
      fail(Code::kInvalidOption, "the chosen pooling and layers give %lld dimensions; the model's %s module takes %lld",
           static_cast<long long>(width), loaded.module.kind == HeadModule::Kind::kDense ? "Dense" : "LayerNorm",
           static_cast<long long>(loaded.module.in));
    if (loaded.module.kind == HeadModule::Kind::kDense) width = loaded.module.out;
  }
  return width;
}

int64_t Head::widest(int64_t width) const {
  for (const Loaded& loaded : modules_) width = std::max(width, loaded.module.out);
  return width;
}

void Head::apply(Stream& stream, float* rows, float* spare, int64_t texts, int64_t width, int64_t stride,
                 bool normalize) const {
  for (const Loaded& loaded : modules_) {
    switch (loaded.module.kind) {
      case HeadModule::Kind::kDense: {
        const HeadModule& dense = loaded.module;
        const float* residual = nullptr;
        if (dense.residual && loaded.residual.get()) {
          check_status(backend_->linear(stream, {loaded.residual.get(), rows, stride, spare, stride, texts,
                                                 Activation::kIdentity, nullptr, 0}),
                       stream, "dense");
          residual = spare;
        } else if (dense.residual) {
          residual = rows;
        }
        check_status(backend_->linear(stream, {loaded.linear.get(), rows, stride, spare, stride, texts,
                                               dense.activation, residual, stride}),
                     stream, "dense");
        std::memcpy(rows, spare, static_cast<size_t>(texts * stride) * sizeof(float));
        width = dense.out;
        break;
      }
      case HeadModule::Kind::kLayerNorm:
        check_status(backend_->norm(stream, {NormKind::kLayer, rows, stride, rows, stride, texts, width,
                                             loaded.norm.weight.data(), loaded.norm.bias.data(), 1e-5f}),
                     stream, "norm");
        break;
      case HeadModule::Kind::kNormalize:
        if (normalize) check_status(backend_->normalize(stream, {rows, stride, texts, width}), stream, "normalize");
        break;
    }
  }
}

}  // namespace embedcore
