#include "model/weights.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace embedcore {

namespace {

void check_shape(const TensorView& view, const std::vector<int64_t>& expected) {
  if (view.shape == expected) return;
  fail(Code::kShapeMismatch, "tensor \"%s\" has shape %s; config.json requires %s", view.name.c_str(),
       shape_string(view.shape).c_str(), shape_string(expected).c_str());
}

void check_float_kind(const TensorView& view) {
  if (!is_float_kind(view.dtype))
    fail(Code::kShapeMismatch, "Expected float32, float16 or bfloat16 for tensor \"%s\" but found %s",
         view.name.c_str(), dtype_name(view.dtype));
}

bool is_aligned(const TensorView& view) {
  return reinterpret_cast<uintptr_t>(view.data) % std::max<size_t>(dtype_size(view.dtype), 1) == 0;
}

std::vector<float> widened(const TensorView& view) {
  std::vector<float> values(static_cast<size_t>(view.elements()));
  to_float32(view.data, view.dtype, values.data(), values.size());
  return values;
}

}  // namespace

void check_finite(const TensorView& view) {
  constexpr size_t kPiece = 4096;
  float piece[kPiece];
  const auto count = static_cast<size_t>(view.elements());
  for (size_t begin = 0; begin < count; begin += kPiece) {
    const size_t n = std::min(kPiece, count - begin);
    to_float32(view.data + begin * dtype_size(view.dtype), view.dtype, piece, n);
    // x - x is 0 for a finite x and NaN otherwise, so the sum shows it without a branch for each value.
    float sum = 0.0f;
    for (size_t i = 0; i < n; ++i) sum += piece[i] - piece[i];
    if (sum == 0.0f) continue;
    for (size_t i = 0; i < n; ++i)
      if (!std::isfinite(piece[i]))
        fail(Code::kNonFinite, "tensor \"%s\" holds %g at element %zu", view.name.c_str(),
             static_cast<double>(piece[i]), begin + i);
  }
}

Linear::Linear(const OpenDevice& device, const LinearWeights& weights) {
  const auto in = static_cast<long long>(weights.in), out = static_cast<long long>(weights.out);
  if (weights.dtype == DType::kI8 && weights.in > kMostInt8Inputs)
    fail(Code::kUnsupportedModel, "a matrix of %lld inputs cannot be summed in int8 (at most %lld): use bfloat16", in,
         static_cast<long long>(kMostInt8Inputs));
  PackedLinear* packed = nullptr;
  const Status status = device.backend().pack_linear(device.handle(), weights, &packed);
  if (status == kOutOfMemory) fail(Code::kOutOfMemory, "no memory for a packed matrix of %lld by %lld", out, in);
  if (status != kOk)
    fail(Code::kInternal, "%s cannot pack a matrix of %lld by %lld in %s", device.backend().name, out, in,
         dtype_name(weights.dtype));
  packed_ = std::shared_ptr<PackedLinear>(packed, device.backend().free_linear);
}

void Linear::repack(const Backend& backend, Stream& stream, const float* weight, const float* bias) {
  check_status(backend.repack_linear(stream, packed_.get(), weight, bias), stream, "packing a matrix");
}

TensorReader::TensorReader(DevicePointer device, std::shared_ptr<const WeightFiles> files, std::string directory,
                           const std::vector<std::string>& prefixes, const std::string& probe, KeepLoading keep_loading)
    : device_(std::move(device)),
      files_(std::move(files)),
      reading_(files_->map_again()),
      directory_(std::move(directory)),
      keep_loading_(std::move(keep_loading)) {
  for (const std::string& prefix : prefixes) {
    if (reading_->find(prefix + probe)) {
      prefix_ = prefix;
      return;
    }
  }
  fail(Code::kMissingTensor, "%s: tensor \"%s\" is missing", directory_.c_str(), probe.c_str());
}

const TensorView* TensorReader::find_optional(const std::string& name) const {
  if (keep_loading_) keep_loading_();
  return reading_->find(prefix_ + name);
}

const TensorView& TensorReader::find(const std::string& name) const {
  if (const TensorView* view = find_optional(name)) return *view;
  // Files from before 2019 use the names gamma and beta.
  auto legacy = [&](const char* now, const char* then) -> const TensorView* {
    const std::string suffix = std::string("LayerNorm.") + now;
    if (!name.ends_with(suffix)) return nullptr;
    return find_optional(name.substr(0, name.size() - suffix.size()) + "LayerNorm." + then);
  };
  if (const TensorView* view = legacy("weight", "gamma")) return *view;
  if (const TensorView* view = legacy("bias", "beta")) return *view;
  fail(Code::kMissingTensor, "%s: tensor \"%s%s\" is missing", directory_.c_str(), prefix_.c_str(), name.c_str());
}

void TensorReader::check_intact() const {
  if (!reading_->intact())
    fail(Code::kInvalidFile, "%s: a weight file was cut short while it was read", directory_.c_str());
}

std::vector<float> TensorReader::floats(const std::string& name, const std::vector<int64_t>& shape) const {
  const TensorView& view = find(name);
  check_shape(view, shape);
  check_float_kind(view);
  check_finite(view);
  return widened(view);
}

DeviceArray<float> TensorReader::vector(const std::string& name, int64_t size) const {
  return DeviceArray<float>(*device_, floats(name, {size}));
}

Table TensorReader::table_of(const TensorView& view, std::span<const DType> dtypes) const {
  Table table;
  table.dtype_ = view.dtype;
  table.bytes_ = view.bytes;
  if (std::find(dtypes.begin(), dtypes.end(), view.dtype) != dtypes.end()) {
    if (!device_->backend().host_memory || !is_aligned(view)) {
      table.owned_ = device_->upload(view.data, view.bytes);
      table.data_ = table.owned_.get();
    } else {
      table.files_ = files_;
      table.data_ = files_->find(view.name)->data;
    }
    return table;
  }
  check_float_kind(view);
  const std::vector<float> values = widened(view);
  table.dtype_ = DType::kF32;
  table.bytes_ = values.size() * sizeof(float);
  table.owned_ = device_->upload(values.data(), table.bytes_);
  table.data_ = table.owned_.get();
  return table;
}

Table TensorReader::table(const std::string& name, int64_t rows, int64_t columns) const {
  constexpr DType kAsTheyAre[] = {DType::kF32, DType::kF16, DType::kBF16};
  const TensorView& view = find(name);
  check_shape(view, {rows, columns});
  check_float_kind(view);
  check_finite(view);
  return table_of(view, kAsTheyAre);
}

Table TensorReader::while_loading(const Table& table, const std::string& name) const {
  Table own = table;
  if (!table.files_) return own;
  own.data_ = find(name).data;
  own.files_ = reading_;
  return own;
}

NormWeights TensorReader::norm(const std::string& name, int64_t size, bool bias) const {
  NormWeights norm;
  norm.weight = vector(name + ".weight", size);
  if (bias) norm.bias = vector(name + ".bias", size);
  return norm;
}

Linear TensorReader::linear(DType dtype, const std::vector<std::string>& names, int64_t in, int64_t out, bool bias,
                            const InputScales* inputs, LinearUse use) const {
  std::vector<const TensorView*> views;
  std::vector<float> biases;
  int64_t rows = 0;
  // The common dtype of all parts if backends can pack from it, else float32.
  bool as_it_is = true;
  for (const std::string& name : names) {
    const TensorView& view = find(name + ".weight");
    if (view.shape.size() != 2 || view.shape[1] != in || view.shape[0] > out - rows)
      fail(Code::kShapeMismatch, "tensor \"%s\" has shape %s; config.json requires [%lld, %lld]%s", view.name.c_str(),
           shape_string(view.shape).c_str(), static_cast<long long>(out), static_cast<long long>(in),
           names.size() > 1 ? " together with its neighbours" : "");
    check_float_kind(view);
    check_finite(view);
    const bool packable = view.dtype == DType::kF32 || view.dtype == DType::kF16 || view.dtype == DType::kBF16;
    const bool updated = updates_ && updates_->find(name);
    as_it_is =
        as_it_is && packable && !updated && is_aligned(view) && (views.empty() || view.dtype == views.front()->dtype);
    views.push_back(&view);
    if (bias) {
      const std::vector<float> part = floats(name + ".bias", {view.shape[0]});
      biases.insert(biases.end(), part.begin(), part.end());
    }
    rows += view.shape[0];
  }
  if (rows != out)
    fail(Code::kShapeMismatch, "%s: \"%s.weight\" and its neighbours have %lld rows; config.json requires %lld",
         directory_.c_str(), names.front().c_str(), static_cast<long long>(rows), static_cast<long long>(out));

  LinearWeights weights{.bias = bias ? biases.data() : nullptr, .in = in, .out = out, .dtype = dtype, .use = use};
  std::vector<float> values, divisors;
  std::vector<std::byte> joined;
  if (!as_it_is || inputs) {
    for (size_t i = 0; i < views.size(); ++i) {
      std::vector<float> part = widened(*views[i]);
      if (const LowRankUpdate* update = updates_ ? updates_->find(names[i]) : nullptr)
        add_low_rank(part, updates_->a(*update), updates_->b(*update), update->rank,
                     static_cast<double>(update->scale));
      values.insert(values.end(), part.begin(), part.end());
    }
    weights.weight = values.data();
    if (inputs) {
      divisors = smoothing(*inputs, values);
      weights.smoothing = divisors.data();
    }
  } else {
    weights.weight_dtype = views.front()->dtype;
    weights.weight = views.front()->data;
    if (views.size() > 1) {
      for (const TensorView* view : views) joined.insert(joined.end(), view->data, view->data + view->bytes);
      weights.weight = joined.data();
    }
  }
  return Linear(*device_, weights);
}

LayerWeights read_layer(const TensorReader& reader, DType dtype, const ModelConfig& config, size_t index,
                        const LayerInputScales* inputs, LinearUse use) {
  const LayerSpec& spec = config.layers[index];
  const LayerNames& names = config.names.in_layer;
  std::string prefix = config.names.layer;
  prefix.replace(prefix.find("%d"), 2, std::to_string(index));
  auto in_layer = [&](const std::vector<std::string>& list) {
    std::vector<std::string> full;
    for (const std::string& name : list) full.push_back(prefix + name);
    return full;
  };

  LayerWeights weights;
  weights.qkv = reader.linear(dtype, in_layer(names.qkv), config.hidden, spec.qkv_width(), spec.qkv_bias,
                              inputs ? &inputs->qkv : nullptr, use);
  weights.output = reader.linear(dtype, in_layer({names.output}), spec.heads * spec.head_dim, config.hidden,
                                 spec.output_bias, nullptr, use);
  weights.up =
      reader.linear(dtype, in_layer(names.up), config.hidden, spec.gated ? 2 * spec.intermediate : spec.intermediate,
                    spec.mlp_bias, inputs ? &inputs->up : nullptr, use);
  weights.down =
      reader.linear(dtype, in_layer({names.down}), spec.intermediate, config.hidden, spec.mlp_bias, nullptr, use);
  if (spec.attention_norm)
    weights.attention_norm = reader.norm(prefix + names.attention_norm, config.hidden, spec.norm_bias);
  weights.mlp_norm = reader.norm(prefix + names.mlp_norm, config.hidden, spec.norm_bias);
  if (spec.qk_norm) {
    weights.q_norm = reader.vector(prefix + names.q_norm + ".weight", spec.head_dim);
    weights.k_norm = reader.vector(prefix + names.k_norm + ".weight", spec.head_dim);
  }
  return weights;
}

}  // namespace embedcore
