#include "binding/convert_training.h"

#include <algorithm>
#include <unordered_set>

#include "base/error.h"
#include "binding/convert.h"
#include "model/forward_plan.h"

namespace embedcore {

namespace {

std::vector<float> to_floats(Napi::Value value, const char* what) {
  if (value.IsNull() || value.IsUndefined()) return {};
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_float32_array)
    fail(Code::kInternal, "%s must be a Float32Array", what);
  const auto list = value.As<Napi::Float32Array>();
  return std::vector<float>(list.Data(), list.Data() + list.ElementLength());
}

template <typename Visit>
void each_object(Napi::Value value, const char* what, Visit&& visit) {
  if (!value.IsArray()) fail(Code::kInternal, "%s must be a list", what);
  const auto list = value.As<Napi::Array>();
  for (uint32_t i = 0; i < list.Length(); ++i) visit(Napi::Value(list.Get(i)).As<Napi::Object>());
}

std::vector<TrainedModule> to_trained_modules(Napi::Object from) {
  std::vector<TrainedModule> modules;
  for (HeadModule& module : to_modules(from, "modules")) modules.push_back({.module = std::move(module)});
  size_t i = 0;
  each_object(from.Get("modules"), "modules",
              [&](Napi::Object module) { modules[i++].trained = get_bool(module, "trained"); });
  return modules;
}

void fill_weights(Napi::Object from, WeightOptions& weights) {
  weights.is_static = get_string(from, "kind") == "static";
  weights.dtype = get_string(from, "dtype") == "bfloat16" ? DType::kBF16 : DType::kF32;
  weights.seed = static_cast<uint64_t>(get_int(from, "seed"));
  const Napi::Value trains = from.Get("trains");
  if (trains.IsArray()) {
    const auto names = std::make_shared<std::unordered_set<std::string>>();
    const auto list = trains.As<Napi::Array>();
    for (uint32_t i = 0; i < list.Length(); ++i) names->insert(Napi::Value(list.Get(i)).ToString().Utf8Value());
    weights.trains = [names](const std::string& name) { return names->contains(name); };
  }
  weights.lora = to_lora(from.Get("lora"));
  if (const Napi::Value adapter = from.Get("adapter"); adapter.IsObject())
    weights.adapter = to_adapter(adapter.As<Napi::Object>());
  if (const Napi::Value row = from.Get("tokenRow"); row.IsObject())
    weights.token_row =
        TokenRow{.id = get_int(row.As<Napi::Object>(), "id"), .fresh = get_bool(row.As<Napi::Object>(), "fresh")};
}

void refuse_short(size_t found, int64_t wanted, const char* what) {
  if (static_cast<int64_t>(found) != wanted)
    fail(Code::kInternal, "Expected %lld numbers for %s but received %zu", static_cast<long long>(wanted), what, found);
}

}  // namespace

std::vector<LoraSpec> to_lora(Napi::Value list) {
  std::vector<LoraSpec> parts;
  each_object(list, "lora", [&](Napi::Object lora) {
    parts.push_back({.module = get_string(lora, "module"),
                     .rank = get_int(lora, "rank"),
                     .scale = static_cast<float>(get_number(lora, "scale")),
                     .dropout = static_cast<float>(get_number(lora, "dropout"))});
  });
  return parts;
}

TrainerSource to_trainer_source(Napi::Object from) {
  TrainerSource source;
  source.directory = get_string(from, "directory");
  source.modules = to_trained_modules(from);
  source.threads = static_cast<int>(get_int(from, "threads"));
  fill_weights(from, source.weights);
  source.plan = to_plan_options(from.Get("plan").As<Napi::Object>());
  source.losses = to_losses(from.Get("losses"));
  source.options = {.gradient_cache = get_bool(from, "gradientCache"),
                    .recompute = static_cast<size_t>(get_int(from, "recompute")),
                    .dropout = get_bool(from, "dropout"),
                    .normalize = source.plan.normalize.value_or(true),
                    .seed = source.weights.seed,
                    .slots = get_int(from, "gradientSlots")};
  return source;
}

std::unique_ptr<Trainer> make_trainer(const TrainerSource& source, DevicePointer device, const KeepLoading& keep) {
  auto weights = std::make_unique<TrainedWeights>(source.directory, device, source.weights, keep);
  auto head = std::make_unique<TrainedHead>(source.modules, device, source.weights.seed);
  EncodePlan plan;
  plan.forward = forward_plan(weights->config(), source.plan);
  plan.pooling = source.plan.pooling.empty() ? std::vector{Pooling::kMean} : source.plan.pooling;
  return std::make_unique<Trainer>(std::move(weights), std::move(head), plan, source.losses, source.options);
}

StepTexts to_texts(Napi::Object from) {
  StepTexts texts;
  texts.ids = to_ints(from.Get("ids"), "ids", false);
  texts.offsets = to_ints(from.Get("offsets"), "offsets", false);
  if (texts.offsets.empty() || texts.offsets.front() != 0 ||
      !std::is_sorted(texts.offsets.begin(), texts.offsets.end()) ||
      texts.offsets.back() != static_cast<int64_t>(texts.ids.size()))
    fail(Code::kInternal, "the offsets of a step do not cut its ids into texts");
  const size_t count = texts.offsets.size() - 1;
  texts.skip = to_ints(from.Get("skip"), "skip", true);
  if (texts.skip.empty()) texts.skip.resize(count);
  texts.prefix = to_ints(from.Get("prefix"), "prefix", true);
  if (texts.prefix.empty()) texts.prefix = texts.skip;
  refuse_short(texts.skip.size(), static_cast<int64_t>(count), "skip");
  refuse_short(texts.prefix.size(), static_cast<int64_t>(count), "prefix");
  return texts;
}

int64_t max_positions(const ModelConfig& config) {
  if (!config.position_table()) return 0;
  return config.max_positions - (config.padding_id >= 0 ? config.padding_id + 1 : 0);
}

void check_texts(const StepTexts& texts, const ModelConfig& config) {
  const int64_t most = max_positions(config);
  for (int64_t i = 0; i < texts.count(); ++i) {
    const auto text = texts.text(i);
    // The vector of such a text is zeros in a static model; layers have nothing to compute.
    if (text.empty() && !config.layers.empty())
      fail(Code::kInvalidText, "text %lld has no tokens", static_cast<long long>(i));
    if (most > 0 && static_cast<int64_t>(text.size()) > most)
      fail(Code::kTextTooLong, "text %lld has %zu tokens; the model has positions for %lld", static_cast<long long>(i),
           text.size(), static_cast<long long>(most));
    for (const int32_t id : text)
      if (id < 0 || id >= config.vocab)
        fail(Code::kTokenizerMismatch, "text %lld has the token %d; the model's vocabulary has %lld",
             static_cast<long long>(i), static_cast<int>(id), static_cast<long long>(config.vocab));
  }
}

StepInput to_step(Napi::Object from) {
  StepInput step;
  step.texts = to_texts(from);
  step.columns = get_int(from, "columns");
  step.rows = get_int(from, "rows");
  refuse_short(static_cast<size_t>(step.texts.count()), step.columns * step.rows, "the texts of a step");
  step.labels = to_floats(from.Get("labels"), "labels");
  step.label_width = get_int(from, "labelWidth");
  if (!step.labels.empty()) refuse_short(step.labels.size(), step.rows * step.label_width, "labels");
  step.text_ids = to_ints(from.Get("textIds"), "textIds", true);
  if (!step.text_ids.empty()) refuse_short(step.text_ids.size(), step.texts.count(), "textIds");
  step.groups = to_ints(from.Get("groups"), "groups", true);
  if (!step.groups.empty()) refuse_short(step.groups.size(), step.rows, "groups");
  step.guide = to_floats(from.Get("guide"), "guide");
  step.guide_width = get_int(from, "guideWidth");
  if (!step.guide.empty()) refuse_short(step.guide.size(), step.texts.count() * step.guide_width, "guide");
  step.teacher = to_floats(from.Get("teacher"), "teacher");
  step.teacher_columns = get_int(from, "teacherColumns");
  step.teacher_width = get_int(from, "teacherWidth");
  if (!step.teacher.empty())
    refuse_short(step.teacher.size(), step.rows * step.teacher_columns * step.teacher_width, "teacher");
  step.draw = static_cast<uint64_t>(get_int(from, "draw"));
  return step;
}

Napi::Value to_object(Napi::Env env, const StepResult& result) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("loss", Napi::Number::New(env, result.loss.loss));
  object.Set("tokens", Napi::Number::New(env, static_cast<double>(result.tokens)));
  Napi::Array parts = Napi::Array::New(env, result.loss.parts.size());
  for (uint32_t i = 0; i < result.loss.parts.size(); ++i) {
    const LossPart& part = result.loss.parts[i];
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("name", part.name);
    entry.Set("weight", Napi::Number::New(env, part.weight));
    entry.Set("value", Napi::Number::New(env, part.value));
    parts.Set(i, entry);
  }
  object.Set("parts", parts);
  return object;
}

Napi::Value to_object(Napi::Env env, const StepBytes& bytes) {
  Napi::Object object = Napi::Object::New(env);
  const auto list = [&](const std::vector<double>& from) {
    Napi::Array to = Napi::Array::New(env, from.size());
    for (uint32_t i = 0; i < from.size(); ++i) to.Set(i, Napi::Number::New(env, from[i]));
    return to;
  };
  object.Set("embedded", Napi::Number::New(env, bytes.embedded));
  object.Set("sums", list(bytes.sums));
  object.Set("rest", list(bytes.rest));
  object.Set("scratch", Napi::Number::New(env, bytes.scratch));
  object.Set("shared", Napi::Number::New(env, bytes.shared));
  object.Set("forward", Napi::Number::New(env, bytes.forward));
  object.Set("slabTokens", Napi::Number::New(env, static_cast<double>(bytes.slab_tokens)));
  return object;
}

std::vector<ParameterGroup> to_groups(Napi::Object from, const char* key) {
  const Napi::Value value = from.Get(key);
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_float64_array)
    fail(Code::kInternal, "\"%s\" must be a Float64Array", key);
  const auto list = value.As<Napi::Float64Array>();
  std::vector<ParameterGroup> groups;
  for (size_t i = 0; i + 4 <= list.ElementLength(); i += 4)
    groups.push_back({.begin = static_cast<int64_t>(list[i]),
                      .end = static_cast<int64_t>(list[i + 1]),
                      .rate_factor = list[i + 2],
                      .decay = list[i + 3]});
  return groups;
}

OptimizerSettings to_optimizer(Napi::Object from) {
  return {.beta1 = get_number(from, "beta1"),
          .beta2 = get_number(from, "beta2"),
          .epsilon = get_number(from, "epsilon"),
          .max_norm = get_number(from, "maxNorm"),
          .average_decay = get_number(from, "averageDecay")};
}

SaveOptions to_save(Napi::Object from) {
  SaveOptions options{.path = get_string(from, "path"),
                      .tensors = {},
                      .rest_of = "",
                      .merged = get_bool(from, "merged"),
                      .average = get_bool(from, "average"),
                      .metadata = {}};
  each_object(from.Get("tensors"), "tensors", [&](Napi::Object tensor) {
    options.tensors.push_back({.of_head = get_string(tensor, "block") == "head",
                               .name = get_string(tensor, "name"),
                               .as = get_string(tensor, "as")});
  });
  const auto metadata = from.Get("metadata").As<Napi::Object>();
  const Napi::Array keys = metadata.GetPropertyNames();
  for (uint32_t i = 0; i < keys.Length(); ++i) {
    const std::string key = Napi::Value(keys.Get(i)).ToString().Utf8Value();
    options.metadata[key] = metadata.Get(key).ToString().Utf8Value();
  }
  return options;
}

}  // namespace embedcore
