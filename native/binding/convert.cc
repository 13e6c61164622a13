#include "binding/convert.h"

#include "base/error.h"
#include "binding/environment.h"

namespace embedcore {

namespace {

Napi::Value get(Napi::Object from, const char* key) { return from.Get(key); }

template <typename Value>
struct Named {
  const char* name;
  Value value;
};

template <typename Value, size_t kCount>
Value by_name(const Named<Value> (&list)[kCount], const std::string& name, const char* what) {
  for (const auto& entry : list)
    if (name == entry.name) return entry.value;
  fail(Code::kInternal, "unknown %s \"%.40s\"", what, name.c_str());
}

constexpr Named<Pooling> kPoolings[] = {{"cls", Pooling::kCls},
                                        {"mean", Pooling::kMean},
                                        {"max", Pooling::kMax},
                                        {"mean_sqrt_len", Pooling::kMeanSqrtLen},
                                        {"weightedmean", Pooling::kWeightedMean},
                                        {"lasttoken", Pooling::kLastToken}};
constexpr Named<Mask> kMasks[] = {
    {"causal", Mask::kCausal}, {"bidirectional", Mask::kBidirectional}, {"prefix", Mask::kPrefix}};
constexpr Named<DType> kDTypes[] = {
    {"float32", DType::kF32}, {"float16", DType::kF16}, {"bfloat16", DType::kBF16}, {"int8", DType::kI8}};
constexpr Named<Activation> kActivations[] = {{"identity", Activation::kIdentity}, {"tanh", Activation::kTanh},
                                              {"relu", Activation::kRelu},         {"gelu", Activation::kGelu},
                                              {"sigmoid", Activation::kSigmoid},   {"silu", Activation::kSilu}};
constexpr Named<Similarity> kSimilarities[] = {{"cosine", Similarity::kCosine},
                                               {"dot", Similarity::kDot},
                                               {"euclidean", Similarity::kEuclidean},
                                               {"manhattan", Similarity::kManhattan}};
constexpr Named<Precision> kPrecisions[] = {{"int8", Precision::kInt8},
                                            {"uint8", Precision::kUint8},
                                            {"binary", Precision::kBinary},
                                            {"ubinary", Precision::kUbinary}};

template <typename Visitor>
void each(Napi::Object from, const char* key, Visitor&& visit) {
  const Napi::Value value = get(from, key);
  if (!value.IsArray()) fail(Code::kInternal, "\"%s\" must be a list", key);
  const auto list = value.As<Napi::Array>();
  for (uint32_t i = 0; i < list.Length(); ++i) visit(list.Get(i));
}

}  // namespace

std::string get_string(Napi::Object from, const char* key) {
  const Napi::Value value = get(from, key);
  if (!value.IsString()) fail(Code::kInternal, "\"%s\" must be a string", key);
  return value.As<Napi::String>().Utf8Value();
}

int64_t get_int(Napi::Object from, const char* key) {
  const Napi::Value value = get(from, key);
  if (!value.IsNumber()) fail(Code::kInternal, "\"%s\" must be a number", key);
  return value.As<Napi::Number>().Int64Value();
}

double get_number(Napi::Object from, const char* key) {
  const Napi::Value value = get(from, key);
  if (!value.IsNumber()) fail(Code::kInternal, "\"%s\" must be a number", key);
  return value.As<Napi::Number>().DoubleValue();
}

bool get_bool(Napi::Object from, const char* key) {
  const Napi::Value value = get(from, key);
  if (!value.IsBoolean()) fail(Code::kInternal, "\"%s\" must be a boolean", key);
  return value.As<Napi::Boolean>().Value();
}

std::vector<HeadModule> to_modules(Napi::Object options, const char* key) {
  std::vector<HeadModule> modules;
  each(options, key, [&](Napi::Value value) {
    const auto from = value.As<Napi::Object>();
    const std::string type = get_string(from, "type");
    HeadModule module;
    if (type == "dense") {
      module.kind = HeadModule::Kind::kDense;
      module.directory = get_string(from, "directory");
      module.in = get_int(from, "inFeatures");
      module.out = get_int(from, "outFeatures");
      module.bias = get_bool(from, "bias");
      module.residual = get_bool(from, "residual");
      module.activation = by_name(kActivations, get_string(from, "activation"), "activation");
    } else if (type == "layernorm") {
      module.kind = HeadModule::Kind::kLayerNorm;
      module.directory = get_string(from, "directory");
      module.in = module.out = get_int(from, "dimension");
    } else if (type != "normalize") {
      fail(Code::kUnsupportedModule, "module \"%.40s\" is not supported", type.c_str());
    }
    modules.push_back(std::move(module));
  });
  return modules;
}

AdapterSource to_adapter(Napi::Object options) {
  AdapterSource source{.directory = get_string(options, "directory"), .updates = {}};
  each(options, "updates", [&](Napi::Value value) {
    const auto from = value.As<Napi::Object>();
    source.updates.push_back({.module = get_string(from, "module"),
                              .a = get_string(from, "a"),
                              .b = get_string(from, "b"),
                              .rank = get_int(from, "rank"),
                              .scale = static_cast<float>(get_number(from, "scale"))});
  });
  return source;
}

ModelSource to_source(Napi::Object options) {
  ModelSource source;
  source.is_static = get_string(options, "kind") == "static";
  source.directory = get_string(options, "directory");
  source.dtype = by_name(kDTypes, get_string(options, "dtype"), "dtype");
  source.head = to_modules(options, "modules");
  if (const Napi::Value value = get(options, "layerWeights"); value.IsObject()) {
    const auto from = value.As<Napi::Object>();
    source.layer_weighting = LayerWeighting{get_string(from, "directory"), get_int(from, "layerStart")};
  }
  if (const Napi::Value value = get(options, "adapter"); value.IsObject())
    source.adapter = to_adapter(value.As<Napi::Object>());
  return source;
}

PlanOptions to_plan_options(Napi::Object options) {
  PlanOptions plan;
  each(options, "pooling",
       [&](Napi::Value value) { plan.pooling.push_back(by_name(kPoolings, value.ToString().Utf8Value(), "pooling")); });
  each(options, "layers", [&](Napi::Value value) { plan.states.push_back(value.ToNumber().Int64Value()); });
  each(options, "attention", [&](Napi::Value value) {
    plan.attention.push_back(by_name(kMasks, value.ToString().Utf8Value(), "attention"));
  });
  plan.concat = get_string(options, "fusion") == "concat";
  plan.token_output = get_string(options, "output") == "token";
  if (const Napi::Value value = get(options, "normalize"); value.IsBoolean())
    plan.normalize = value.As<Napi::Boolean>().Value();
  plan.dimensions = get_int(options, "dimensions");
  return plan;
}

Similarity to_similarity(const std::string& name) { return by_name(kSimilarities, name, "similarity"); }
Precision to_precision(const std::string& name) { return by_name(kPrecisions, name, "precision"); }

const char* mask_name(Mask mask) {
  for (const auto& entry : kMasks)
    if (entry.value == mask) return entry.name;
  return "";
}

std::vector<int32_t> to_ints(Napi::Value value, const char* what, bool optional) {
  if (optional && (value.IsNull() || value.IsUndefined())) return {};
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_int32_array)
    fail(Code::kInternal, "%s must be an Int32Array", what);
  const auto list = value.As<Napi::Int32Array>();
  return std::vector<int32_t>(list.Data(), list.Data() + list.ElementLength());
}

Napi::Object to_task(Napi::Env env, std::function<void()> abort) {
  Napi::Object task = Napi::Object::New(env);
  task.Set("abort", Napi::Function::New(env, [abort = std::move(abort)](const Napi::CallbackInfo& info) {
             guarded(info.Env(), [&] { abort(); });
           }));
  return task;
}

}  // namespace embedcore
