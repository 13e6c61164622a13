#include "model/head.h"

#include <algorithm>

#include "base/error.h"
#include "ops/linear.h"
#include "ops/norm.h"
#include "ops/vectors.h"

namespace embedcore {

Head::Head(const std::vector<HeadModule>& modules, DevicePointer device, const KeepLoading& keep_loading)
    : device_(std::move(device)) {
  for (const HeadModule& module : modules) {
    Loaded loaded{.module = module, .linear = {}, .residual = {}, .norm = {}};
    if (module.kind == HeadModule::Kind::kDense) {
      const TensorReader reader(device_, WeightFiles::open(module.directory), module.directory, {""}, "linear.weight",
                                keep_loading);
      loaded.linear = reader.linear(DType::kF32, {"linear"}, module.in, module.out, module.bias);
      // The learned residual projection; if the sizes are equal, the reference adds the input instead.
      if (module.residual && reader.find_optional("residual.weight"))
        loaded.residual = reader.linear(DType::kF32, {"residual"}, module.in, module.out, false);
      if (module.residual && !loaded.residual.get() && module.in != module.out)
        fail(Code::kMissingTensor, "%s: a dense module with use_residual from %lld to %lld needs \"residual.weight\"",
             module.directory.c_str(), static_cast<long long>(module.in), static_cast<long long>(module.out));
    } else if (module.kind == HeadModule::Kind::kLayerNorm) {
      const TensorReader reader(device_, WeightFiles::open(module.directory), module.directory, {""}, "norm.weight",
                                keep_loading);
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

void Head::run_linear(Stream& stream, const Linear& linear, const View& x, const View& y, int64_t texts,
                      Activation activation, const View& residual) const {
  check_status(device_->backend().linear(stream, {.weights = linear.get(),
                                                  .x = x.data,
                                                  .x_stride = x.stride,
                                                  .y = y.data,
                                                  .y_stride = y.stride,
                                                  .rows = texts,
                                                  .activation = activation,
                                                  .residual = residual.floats(),
                                                  .residual_stride = residual.stride}),
               stream, "dense");
}

View Head::apply(Stream& stream, View rows, const View (&buffers)[2], int64_t texts, int64_t width,
                 bool normalize) const {
  for (const Loaded& loaded : modules_) {
    switch (loaded.module.kind) {
      case HeadModule::Kind::kDense: {
        const HeadModule& dense = loaded.module;
        const View spare = rows.data == buffers[0].data ? buffers[1] : buffers[0];
        View residual;
        if (dense.residual) residual = loaded.residual.get() ? spare : rows;
        if (loaded.residual.get())
          run_linear(stream, loaded.residual, rows, spare, texts, Activation::kIdentity, View{});
        run_linear(stream, loaded.linear, rows, spare, texts, dense.activation, residual);
        rows = spare;
        width = dense.out;
        break;
      }
      case HeadModule::Kind::kLayerNorm:
        check_status(device_->backend().norm(stream, {.kind = NormKind::kLayer,
                                                      .x = rows.floats(),
                                                      .x_stride = rows.stride,
                                                      .y = rows.data,
                                                      .y_stride = rows.stride,
                                                      .rows = texts,
                                                      .width = width,
                                                      .weight = loaded.norm.weight.data(),
                                                      .bias = loaded.norm.bias.data(),
                                                      .epsilon = 1e-5f}),
                     stream, "norm");
        break;
      case HeadModule::Kind::kNormalize:
        if (normalize)
          check_status(device_->backend().normalize(
                           stream, {.x = rows.floats(), .stride = rows.stride, .rows = texts, .width = width}),
                       stream, "normalize");
        break;
    }
  }
  return rows;
}

}  // namespace embedcore
