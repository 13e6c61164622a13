#include "binding/model.h"

#include <cstring>

#include "binding/convert.h"
#include "cpu/dispatch.h"
#include "engine/registry.h"
#include "reference/backend.h"

namespace embedcore {

const Backend& chosen_backend() {
  const char* forced = std::getenv("EMBEDCORE_CPU_ISA");
  if (forced && std::strcmp(forced, "reference") == 0) return reference_backend();
  return default_cpu_backend();
}

Napi::Function PlanHandle::define(Napi::Env env) {
  return DefineClass(env, "Plan", {InstanceAccessor<&PlanHandle::dimension>("dimension")});
}

Napi::Value PlanHandle::dimension(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(plan.dimension));
}

Napi::Function ModelHandle::define(Napi::Env env) {
  return DefineClass(
      env, "Model",
      {InstanceAccessor<&ModelHandle::info>("info"), InstanceMethod<&ModelHandle::plan>("plan"),
       InstanceMethod<&ModelHandle::encode>("encode"), InstanceMethod<&ModelHandle::dispose>("dispose")});
}

void ModelHandle::load(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  guarded(env, [&] {
    const auto options = info[0].As<Napi::Object>();
    const ModelSource source = to_source(options);
    const EngineOptions engine{static_cast<int>(get_int(options, "threads")), get_int(options, "maxBatchTokens"),
                               get_int(options, "maxQueueTokens")};
    Environment::of(env).run_in_background(env, info[1].As<Napi::Function>(), options,
                                           [source, engine]() -> std::function<Napi::Value(Napi::Env, PendingCall&)> {
                                             const auto opened = open_engine(source, chosen_backend(), engine);
                                             return [opened](Napi::Env to, PendingCall&) -> Napi::Value {
                                               Environment& environment = Environment::of(to);
                                               const Napi::Object object = environment.model_class.New({});
                                               ModelHandle* handle = ModelHandle::Unwrap(object);
                                               handle->engine_ = opened;
                                               handle->accounted_ =
                                                   static_cast<int64_t>(opened->model().weight_bytes());
                                               Napi::MemoryManagement::AdjustExternalMemory(to, handle->accounted_);
                                               handle->environment_ = &environment;
                                               environment.models.insert(handle);
                                               return object;
                                             };
                                           });
  });
}

ModelHandle::~ModelHandle() {
  if (environment_) environment_->models.erase(this);
  release();
}

void ModelHandle::detach() {
  environment_ = nullptr;
  release();
}

void ModelHandle::release() {
  const auto engine = std::move(engine_);
  engine_ = nullptr;
  if (!engine) return;
  const auto running = std::move(running_);
  running_.clear();
  for (const auto& [call, job] : running)
    engine->cancel(job, Error(Code::kDisposed, "the model was disposed while the call ran"));
}

Engine& ModelHandle::engine(Napi::Env env) {
  if (!engine_) throw to_napi(env, Error(Code::kDisposed, "the model was disposed"));
  return *engine_;
}

Napi::Value ModelHandle::info(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Engine& held = engine(env);
  const Model& model = held.model();
  Napi::Object object = Napi::Object::New(env);
  auto number = [&](const char* key, int64_t value) {
    object.Set(key, Napi::Number::New(env, static_cast<double>(value)));
  };
  if (const Encoder* encoder = model.encoder()) {
    const ModelConfig& config = encoder->config();
    object.Set("family", config.family);
    object.Set("fileDtype", encoder->file_dtype());
    object.Set("dtype", dtype_name(encoder->dtype()));
    object.Set("attention", mask_name(config.layers.front().mask));
    object.Set("isa", encoder->backend().name);
    number("hiddenSize", config.hidden);
    number("layers", static_cast<int64_t>(config.layers.size()));
    number("heads", config.heads);
    number("kvHeads", config.layers.front().kv_heads);
    number("maxPositions", config.position_table() ? encoder->max_tokens() : config.max_positions);
    number("parameters", encoder->parameters());
  } else {
    const StaticEncoder& table = *model.static_encoder();
    object.Set("family", "static");
    object.Set("fileDtype", table.file_dtype());
    object.Set("dtype", "float32");
    object.Set("attention", "bidirectional");
    object.Set("isa", table.backend().name);
    number("hiddenSize", table.width());
    for (const char* key : {"layers", "heads", "kvHeads", "maxPositions"}) number(key, 0);
    number("parameters", table.parameters());
  }
  number("vocabSize", model.vocab());
  number("weightBytes", static_cast<int64_t>(model.weight_bytes()));
  number("threads", held.options().threads);
  return object;
}

Napi::Value ModelHandle::plan(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    EncodePlan plan = engine(env).model().plan(to_plan_options(info[0].As<Napi::Object>()));
    const Napi::Object object = Environment::of(env).plan_class.New({});
    PlanHandle::Unwrap(object)->plan = std::move(plan);
    return object;
  });
}

Napi::Value ModelHandle::encode(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    Engine& held = engine(env);
    Environment& environment = Environment::of(env);
    if (!info[0].IsObject() || !info[0].As<Napi::Object>().InstanceOf(environment.plan_class.Value()))
      fail(Code::kInternal, "encode needs a plan");
    const auto batch = info[1].As<Napi::Object>();
    auto job = std::make_shared<Job>();
    job->plan = PlanHandle::Unwrap(info[0].As<Napi::Object>())->plan;
    job->ids = to_ints(batch.Get("ids"), "ids", false);
    job->offsets = to_ints(batch.Get("offsets"), "offsets", false);
    if (job->offsets.empty()) fail(Code::kInternal, "offsets must have one entry more than there are texts");
    const auto texts = static_cast<size_t>(job->texts());
    if (batch.Has("first")) job->first_number = get_int(batch, "first");
    job->skip = to_ints(batch.Get("skip"), "skip", true);
    job->prefix = to_ints(batch.Get("prefix"), "prefix", true);
    if (job->skip.empty()) job->skip.assign(texts, 0);
    if (job->prefix.empty()) job->prefix = job->skip;
    if (job->skip.size() != texts || job->prefix.size() != texts)
      fail(Code::kInternal, "skip and prefix must have one entry a text");
    for (size_t i = 0; i < texts; ++i)
      if (job->skip[i] < 0 || job->prefix[i] < 0) fail(Code::kInternal, "skip and prefix may not be negative");
    const auto out = info[2].As<Napi::Float32Array>();
    const int64_t rows = job->plan.token_output ? job->tokens() : job->texts();
    if (!info[2].IsTypedArray() || out.TypedArrayType() != napi_float32_array ||
        static_cast<int64_t>(out.ElementLength()) != rows * job->plan.dimension)
      fail(Code::kInternal, "out must be a Float32Array of %lld values",
           static_cast<long long>(rows * job->plan.dimension));

    const uint64_t call = environment.begin_call(env, info[3].As<Napi::Function>(), out);
    // The finished rows go to JavaScript's memory on JavaScript's thread: a worker never touches a buffer that the
    // environment may free.
    job->on_settled = [call, path = environment.path, handle = this](Job& settled) {
      path->post([call, handle, kept = settled.shared_from_this()](Napi::Env to) {
        Environment& home = Environment::of(to);
        if (home.models.count(handle)) handle->running_.erase(call);
        std::unique_ptr<Error> error;
        try {
          if (kept->error) std::rethrow_exception(kept->error);
        } catch (const Error& known) {
          error = std::make_unique<Error>(known);
        }
        home.finish_call(to, call, error.get(), [&kept](Napi::Env, PendingCall& pending) -> Napi::Value {
          auto target = pending.kept.Value().As<Napi::Float32Array>();
          if (target.ElementLength() == kept->rows.size() && !kept->rows.empty())
            std::memcpy(target.Data(), kept->rows.data(), kept->rows.size() * sizeof(float));
          return pending.kept.Env().Undefined();
        });
      });
    };
    running_.emplace(call, job);
    try {
      held.submit(job);
    } catch (const Error& error) {
      // Refusals come back the same way as failures: through the callback, once.
      held.cancel(job, error);
    }

    Napi::Object raw = Napi::Object::New(env);
    raw.Set("abort",
            Napi::Function::New(env, [weak_job = std::weak_ptr<Job>(job),
                                      weak_engine = std::weak_ptr<Engine>(engine_)](const Napi::CallbackInfo&) {
              const auto to_abort = weak_job.lock();
              const auto on = weak_engine.lock();
              if (to_abort && on) on->cancel(to_abort, Error(Code::kAborted, "the call was aborted"));
            }));
    return raw;
  });
}

void ModelHandle::dispose(const Napi::CallbackInfo& info) {
  Napi::MemoryManagement::AdjustExternalMemory(info.Env(), -accounted_);
  accounted_ = 0;
  release();
}

}  // namespace embedcore
