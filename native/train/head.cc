#include "train/head.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "ops/activation.h"
#include "ops/dropout.h"
#include "ops/fuse.h"
#include "ops/norm.h"
#include "ops/vectors.h"

namespace embedcore {

namespace {

constexpr float kNormEpsilon = 1e-5f;  // of sentence-transformers' LayerNorm

// torch.nn.Linear's first values, uniform within 1 / sqrt(in).
std::vector<float> uniform(int64_t elements, int64_t in, uint64_t seed, uint32_t stream) {
  const float bound = 1.0f / std::sqrt(static_cast<float>(in));
  std::vector<float> values(static_cast<size_t>(elements));
  for (size_t i = 0; i < values.size(); ++i) {
    const PhiloxWords words = philox({{static_cast<uint32_t>(i / 4), stream, 0, 0x68656164u}}, seed);
    values[i] = bound * (static_cast<float>(words.word[i % 4] >> 8) * 0x1p-23f - 1.0f);
  }
  return values;
}

// Parameters of the modules that are trained, before their values are known.
std::shared_ptr<ParameterList> list_of(const std::vector<TrainedModule>& modules) {
  auto list = std::make_shared<ParameterList>();
  for (size_t i = 0; i < modules.size(); ++i) {
    const HeadModule& module = modules[i].module;
    if (!modules[i].trained) continue;
    const std::string prefix = std::to_string(i) + ".";
    if (module.kind == HeadModule::Kind::kDense) {
      list->add(prefix + "linear.weight", {module.out, module.in});
      if (module.bias) list->add(prefix + "linear.bias", {module.out});
      if (module.residual && module.in != module.out) list->add(prefix + "residual.weight", {module.out, module.in});
    } else if (module.kind == HeadModule::Kind::kLayerNorm) {
      list->add(prefix + "norm.weight", {module.in});
      list->add(prefix + "norm.bias", {module.in});
    }
  }
  return list;
}

}  // namespace

TrainedHead::TrainedHead(std::vector<TrainedModule> modules, DevicePointer device, uint64_t seed)
    : device_(std::move(device)) {
  const auto list = list_of(modules);
  values_ = std::make_unique<Parameters>(list, device_);
  gradients_ = std::make_unique<Parameters>(list, device_);
  for (size_t i = 0; i < modules.size(); ++i) {
    Loaded loaded;
    loaded.module = modules[i].module;
    const std::string prefix = std::to_string(i) + ".";
    if (loaded.module.kind == HeadModule::Kind::kDense) load_dense(loaded, prefix, modules[i], seed + i);
    if (loaded.module.kind == HeadModule::Kind::kLayerNorm) load_norm(loaded, prefix, modules[i]);
    modules_.push_back(std::move(loaded));
  }
}

void TrainedHead::load_dense(Loaded& loaded, const std::string& prefix, const TrainedModule& trained, uint64_t seed) {
  const HeadModule& module = trained.module;
  std::vector<float> weight, bias, residual;
  if (module.directory.empty()) {
    weight = uniform(module.in * module.out, module.in, seed, 0);
    if (module.bias) bias = uniform(module.out, module.in, seed, 1);
    if (module.residual && module.in != module.out) residual = uniform(module.in * module.out, module.in, seed, 2);
  } else {
    const TensorReader reader(device_, WeightFiles::open(module.directory), module.directory, {""}, "linear.weight");
    weight = reader.floats("linear.weight", {module.out, module.in});
    if (module.bias) bias = reader.floats("linear.bias", {module.out});
    if (module.residual && reader.find_optional("residual.weight"))
      residual = reader.floats("residual.weight", {module.out, module.in});
  }
  if (module.residual && residual.empty() && module.in != module.out)
    fail(Code::kMissingTensor, "%s: a dense module with use_residual from %lld to %lld needs \"residual.weight\"",
         module.directory.c_str(), static_cast<long long>(module.in), static_cast<long long>(module.out));
  const auto pack = [&](const std::vector<float>& values, const float* b) {
    return Linear(*device_, {.weight = values.data(),
                             .bias = b,
                             .in = module.in,
                             .out = module.out,
                             .use = LinearUse::kForwardAndBackward});
  };
  loaded.linear = pack(weight, bias.empty() ? nullptr : bias.data());
  if (!residual.empty()) loaded.residual = pack(residual, nullptr);
  if (!trained.trained) return;
  const auto place = [&](const char* name, const std::vector<float>& values, float*& value, float*& gradient) {
    if (values.empty()) return;
    value = values_->at(prefix + name);
    gradient = gradients_->at(prefix + name);
    values_->write(prefix + name, values);
  };
  place("linear.weight", weight, loaded.weight, loaded.dweight);
  place("linear.bias", bias, loaded.bias, loaded.dbias);
  if (!residual.empty() && module.in == module.out)
    fail(Code::kUnsupportedModel, "%s: training a residual projection between equal widths is not supported",
         module.directory.c_str());
  place("residual.weight", residual, loaded.residual_weight, loaded.dresidual);
}

void TrainedHead::load_norm(Loaded& loaded, const std::string& prefix, const TrainedModule& trained) {
  const HeadModule& module = trained.module;
  std::vector<float> weight(static_cast<size_t>(module.in), 1.0f), bias(static_cast<size_t>(module.in));
  if (!module.directory.empty()) {
    const TensorReader reader(device_, WeightFiles::open(module.directory), module.directory, {""}, "norm.weight");
    weight = reader.floats("norm.weight", {module.in});
    bias = reader.floats("norm.bias", {module.in});
  }
  loaded.norm = {.weight = DeviceArray<float>(*device_, weight), .bias = DeviceArray<float>(*device_, bias)};
  if (!trained.trained) return;
  values_->write(prefix + "norm.weight", weight);
  values_->write(prefix + "norm.bias", bias);
  loaded.weight = values_->at(prefix + "norm.weight");
  loaded.bias = values_->at(prefix + "norm.bias");
  loaded.dweight = gradients_->at(prefix + "norm.weight");
  loaded.dbias = gradients_->at(prefix + "norm.bias");
  loaded.norm.weight = DeviceArray<float>(values_->block(), loaded.weight, weight.size());
  loaded.norm.bias = DeviceArray<float>(values_->block(), loaded.bias, bias.size());
}

int64_t TrainedHead::out_width(int64_t width) const {
  for (const Loaded& loaded : modules_) {
    if (loaded.module.kind == HeadModule::Kind::kNormalize) continue;
    if (loaded.module.in != width)
      fail(Code::kInvalidOption, "the chosen pooling and layers give %lld dimensions; the module takes %lld",
           static_cast<long long>(width), static_cast<long long>(loaded.module.in));
    if (loaded.module.kind == HeadModule::Kind::kDense) width = loaded.module.out;
  }
  return width;
}

void TrainedHead::follow_values(Stream& stream) {
  for (Loaded& loaded : modules_) {
    if (loaded.module.kind != HeadModule::Kind::kDense) continue;
    if (loaded.weight) loaded.linear.repack(device_->backend(), stream, loaded.weight, loaded.bias);
    if (loaded.residual_weight) loaded.residual.repack(device_->backend(), stream, loaded.residual_weight, nullptr);
  }
}

// --- passes ---

void HeadPass::place(Layout& layout, const View& pooled, int64_t texts, int64_t width) {
  steps_.clear();
  View rows = pooled;
  int64_t widest = width;
  for (const TrainedHead::Loaded& loaded : head_.modules_) {
    Step step;
    step.in = rows;
    step.width = width;
    step.texts = texts;
    const bool dense = loaded.module.kind == HeadModule::Kind::kDense;
    if (dense) width = loaded.module.out;
    step.out_width = width;
    widest = std::max(widest, width);
    if (dense && loaded.module.activation != Activation::kIdentity) step.sum = layout.rows(texts, width);
    step.out = layout.rows(texts, width);
    step.lengths = layout.array<float>(texts);
    step.mean = layout.array<float>(texts);
    step.rstd = layout.array<float>(texts);
    rows = step.out;
    steps_.push_back(step);
  }
  for (View& gradient : gradients_) gradient = layout.rows(texts, widest);
}

View HeadPass::forward(Stream& stream, const View& pooled, int64_t texts, int64_t width, bool normalize) {
  normalize_ = normalize;
  Layout layout = workspace_.fit(*head_.device_, [&](Layout& measure) { place(measure, pooled, texts, width); });
  place(layout, pooled, texts, width);
  for (size_t i = 0; i < steps_.size(); ++i) run(stream, head_.modules_[i], steps_[i]);
  return steps_.empty() ? pooled : steps_.back().out;
}

void HeadPass::run(Stream& stream, const TrainedHead::Loaded& loaded, const Step& step) const {
  const Backend& backend = head_.device_->backend();
  const auto copy = [&] {
    check_status(backend.fuse(stream, {.x = step.in.floats(),
                                       .x_stride = step.in.stride,
                                       .y = step.out.floats(),
                                       .y_stride = step.out.stride,
                                       .rows = step.texts,
                                       .width = step.width,
                                       .first = true}),
                 stream, "fuse");
  };
  const auto linear = [&](const Linear& weights, const View& y, const View& residual) {
    check_status(backend.linear(stream, {.weights = weights.get(),
                                         .x = step.in.data,
                                         .x_stride = step.in.stride,
                                         .y = y.data,
                                         .y_stride = y.stride,
                                         .rows = step.texts,
                                         .residual = residual.floats(),
                                         .residual_stride = residual.stride}),
                 stream, "dense");
  };
  switch (loaded.module.kind) {
    case HeadModule::Kind::kDense: {
      const View sum = step.sum.data ? step.sum : step.out;
      linear(loaded.linear, sum, {});
      if (step.sum.data)
        check_status(backend.activation(stream, {.x = sum.data,
                                                 .x_stride = sum.stride,
                                                 .y = step.out.data,
                                                 .y_stride = step.out.stride,
                                                 .rows = step.texts,
                                                 .width = step.out_width,
                                                 .activation = loaded.module.activation}),
                     stream, "activation");
      if (loaded.residual.get())
        linear(loaded.residual, step.out, step.out);
      else if (loaded.module.residual)
        check_status(backend.fuse(stream, {.x = step.in.floats(),
                                           .x_stride = step.in.stride,
                                           .y = step.out.floats(),
                                           .y_stride = step.out.stride,
                                           .rows = step.texts,
                                           .width = step.width}),
                     stream, "fuse");
      break;
    }
    case HeadModule::Kind::kLayerNorm:
      check_status(backend.norm(stream, {.kind = NormKind::kLayer,
                                         .x = step.in.floats(),
                                         .x_stride = step.in.stride,
                                         .y = step.out.data,
                                         .y_stride = step.out.stride,
                                         .rows = step.texts,
                                         .width = step.width,
                                         .weight = loaded.norm.weight.data(),
                                         .bias = loaded.norm.bias.data(),
                                         .epsilon = kNormEpsilon,
                                         .mean = step.mean,
                                         .rstd = step.rstd}),
                   stream, "norm");
      break;
    case HeadModule::Kind::kNormalize:
      copy();
      if (normalize_)
        check_status(backend.normalize(stream, {.x = step.out.floats(),
                                                .stride = step.out.stride,
                                                .rows = step.texts,
                                                .width = step.width,
                                                .lengths = step.lengths}),
                     stream, "normalize");
      break;
  }
}

HeadPass::Step HeadPass::Step::from_row(int64_t first, int64_t count) const {
  Step step = *this;
  for (View* view : {&step.in, &step.sum, &step.out})
    if (view->data) *view = view->from_row(first);
  for (float** list : {&step.lengths, &step.mean, &step.rstd}) *list += first;
  step.texts = count;
  return step;
}

View HeadPass::backward(Stream& stream, const View& drows, int64_t first, int64_t texts) {
  View gradient = drows;
  for (size_t i = steps_.size(); i-- > 0;) {
    const View spare = gradient.data == gradients_[0].data ? gradients_[1] : gradients_[0];
    gradient = run_back(stream, head_.modules_[i], steps_[i].from_row(first, texts), gradient, spare);
  }
  return gradient;
}

// From dout, which may be overwritten, to the gradient of the rows that entered: dout itself or spare.
View HeadPass::run_back(Stream& stream, const TrainedHead::Loaded& loaded, const Step& step, const View& dout,
                        const View& spare) const {
  const Backend& backend = head_.device_->backend();
  const auto input_gradient = [&](const Linear& weights, bool add) {
    check_status(backend.linear_input_gradient(stream, {.weights = weights.get(),
                                                        .dz = dout.floats(),
                                                        .dz_stride = dout.stride,
                                                        .dx = spare.floats(),
                                                        .dx_stride = spare.stride,
                                                        .rows = step.texts,
                                                        .add = add}),
                 stream, "linear_input_gradient");
  };
  const auto weight_gradient = [&](float* dweight, float* dbias) {
    if (!dweight && !dbias) return;
    check_status(backend.linear_weight_gradient(stream, {.x = step.in.data,
                                                         .x_stride = step.in.stride,
                                                         .dz = dout.floats(),
                                                         .dz_stride = dout.stride,
                                                         .rows = step.texts,
                                                         .in = step.width,
                                                         .out = step.out_width,
                                                         .dweight = dweight,
                                                         .dbias = dbias}),
                 stream, "linear_weight_gradient");
  };
  switch (loaded.module.kind) {
    case HeadModule::Kind::kDense: {
      const bool projects = loaded.residual.get() != nullptr;
      if (projects) {
        weight_gradient(loaded.dresidual, nullptr);
        input_gradient(loaded.residual, false);
      } else if (loaded.module.residual) {
        check_status(backend.fuse(stream, {.x = dout.floats(),
                                           .x_stride = dout.stride,
                                           .y = spare.floats(),
                                           .y_stride = spare.stride,
                                           .rows = step.texts,
                                           .width = step.width,
                                           .first = true}),
                     stream, "fuse");
      }
      if (step.sum.data)
        check_status(backend.activation_gradient(stream, {.x = step.sum.data,
                                                          .x_stride = step.sum.stride,
                                                          .dy = dout.floats(),
                                                          .dy_stride = dout.stride,
                                                          .dx = dout.floats(),
                                                          .dx_stride = dout.stride,
                                                          .rows = step.texts,
                                                          .width = step.out_width,
                                                          .activation = loaded.module.activation}),
                     stream, "activation_gradient");
      weight_gradient(loaded.dweight, loaded.dbias);
      input_gradient(loaded.linear, loaded.module.residual);
      return spare;
    }
    case HeadModule::Kind::kLayerNorm:
      if (loaded.dweight)
        check_status(backend.norm_weight_gradient(stream, {.x = step.in.floats(),
                                                           .x_stride = step.in.stride,
                                                           .dy = dout.floats(),
                                                           .dy_stride = dout.stride,
                                                           .rows = step.texts,
                                                           .width = step.width,
                                                           .mean = step.mean,
                                                           .rstd = step.rstd,
                                                           .dweight = loaded.dweight,
                                                           .dbias = loaded.dbias}),
                     stream, "norm_weight_gradient");
      check_status(backend.norm_gradient(stream, {.x = step.in.floats(),
                                                  .x_stride = step.in.stride,
                                                  .dy = dout.floats(),
                                                  .dy_stride = dout.stride,
                                                  .dx = dout.floats(),
                                                  .dx_stride = dout.stride,
                                                  .rows = step.texts,
                                                  .width = step.width,
                                                  .weight = loaded.norm.weight.data(),
                                                  .mean = step.mean,
                                                  .rstd = step.rstd}),
                   stream, "norm_gradient");
      return dout;
    case HeadModule::Kind::kNormalize:
      if (normalize_)
        check_status(backend.normalize_gradient(stream, {.y = step.out.floats(),
                                                         .y_stride = step.out.stride,
                                                         .lengths = step.lengths,
                                                         .dy = dout.floats(),
                                                         .dy_stride = dout.stride,
                                                         .dx = dout.floats(),
                                                         .dx_stride = dout.stride,
                                                         .rows = step.texts,
                                                         .width = step.width}),
                     stream, "normalize_gradient");
      return dout;
  }
  return dout;
}

}  // namespace embedcore
