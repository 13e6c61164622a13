#include "binding/model.h"

#include "binding/adapter.h"
#include "binding/backends.h"
#include "binding/call.h"
#include "binding/convert.h"
#include "engine/registry.h"

namespace embedcore {

namespace {

// An engine that is passed to a handle. If it never gets there, it is released like any other.
struct Opened {
  explicit Opened(std::shared_ptr<Engine> opened) : engine(std::move(opened)) {}
  ~Opened() {
    if (engine) let_go(std::move(engine));
  }
  std::shared_ptr<Engine> engine;
};

}  // namespace

Napi::Function PlanHandle::define(Napi::Env env) {
  return DefineClass(env, "Plan", {InstanceAccessor<&PlanHandle::dimension>("dimension")});
}

Napi::Value PlanHandle::dimension(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), plan ? static_cast<double>(plan->dimension) : 0);
}

Napi::Function ModelHandle::define(Napi::Env env) {
  return DefineClass(
      env, "Model",
      {InstanceAccessor<&ModelHandle::info>("info"), InstanceMethod<&ModelHandle::plan>("plan"),
       InstanceMethod<&ModelHandle::call>("call"), InstanceMethod<&ModelHandle::load_adapter>("loadAdapter"),
       InstanceMethod<&ModelHandle::dispose>("dispose")});
}

Napi::Value ModelHandle::load(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const auto options = info[0].As<Napi::Object>();
    const ModelSource source = to_source(options);
    const EngineOptions engine{static_cast<int>(get_int(options, "threads")), get_int(options, "maxBatchTokens"),
                               get_int(options, "maxQueueTokens")};
    const std::string device = options.Has("device") ? get_string(options, "device") : "cpu";
    const std::string library = options.Has("library") ? get_string(options, "library") : "";
    // Chosen here: JavaScript may change the environment variable while another thread would read it.
    const std::string isa = options.Has("isa") ? get_string(options, "isa") : chosen_backend().name;
    Environment& environment = Environment::of(env);
    const auto cancelled = std::make_shared<std::atomic<bool>>(false);
    const Napi::Object task = to_task(env, [cancelled] { *cancelled = true; });
    const auto call = environment.begin_call(env, info[1].As<Napi::Function>(), options);
    try {
      environment.start_load(
          call, cancelled, [source, engine, device, isa, library](const KeepLoading& keep_loading) -> MakeResult {
            const DeviceRef on = named_device(device, isa, library);
            const auto opened = std::make_shared<Opened>(open_engine(source, on, engine, keep_loading));
            return [opened](Napi::Env to, PendingCall&) -> Napi::Value {
              Environment& home = Environment::of(to);
              const Napi::Object object = home.model_class.New({});
              ModelHandle* handle = ModelHandle::Unwrap(object);
              home.models.insert(handle);
              handle->environment_ = &home;
              home.account(to, opened->engine->model());
              handle->engine_ = std::move(opened->engine);
              return object;
            };
          });
    } catch (...) {
      call->settle(current_error());
    }
    return task;
  });
}

ModelHandle::~ModelHandle() {
  release();
  if (environment_) environment_->models.erase(this);
}

void ModelHandle::detach() {
  environment_ = nullptr;
  release();
}

void ModelHandle::release(std::function<void()> freed) noexcept {
  const auto error = shared_error(Code::kDisposed, "the model was disposed while the call ran");
  for (CallHandle* call : calls) call->leave_model(error);
  calls.clear();
  if (!engine_) {
    if (freed) freed();
    return;
  }
  if (environment_) environment_->unaccount(Env(), engine_->model());
  let_go(std::move(engine_), std::move(freed));
  engine_ = nullptr;
}

Engine& ModelHandle::engine(Napi::Env env) {
  if (!engine_) throw to_napi(env, Error(Code::kDisposed, "the model was disposed"));
  return *engine_;
}

Napi::Value ModelHandle::info(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    Engine& held = engine(env);
    const Model& model = held.model();
    Napi::Object object = Napi::Object::New(env);
    auto number = [&](const char* key, int64_t value) {
      object.Set(key, Napi::Number::New(env, static_cast<double>(value)));
    };
    if (const TransformerEncoder* encoder = model.transformer()) {
      const ModelConfig& config = encoder->config();
      object.Set("family", config.family);
      object.Set("fileDtype", encoder->file_dtype());
      object.Set("dtype", dtype_name(encoder->dtype()));
      object.Set("attention", mask_name(config.layers.front().mask));
      number("hiddenSize", config.hidden);
      number("layers", static_cast<int64_t>(config.layers.size()));
      number("heads", config.heads);
      number("kvHeads", config.layers.front().kv_heads);
      number("maxPositions", config.position_table() ? encoder->max_tokens() : config.max_positions);
    } else {
      object.Set("family", "static");
      object.Set("fileDtype", model.static_encoder()->file_dtype());
      object.Set("dtype", "float32");
      object.Set("attention", "bidirectional");
      number("hiddenSize", model.static_encoder()->width());
      for (const char* key : {"layers", "heads", "kvHeads", "maxPositions"}) number(key, 0);
    }
    object.Set("isa", model.backend().name);
    object.Set("device", device_id(model.encoder().device()));
    number("parameters", model.encoder().parameters());
    number("vocabSize", model.vocab());
    number("weightBytes", static_cast<int64_t>(model.weight_bytes()));
    number("threads", held.options().threads);
    return object;
  });
}

Napi::Value ModelHandle::plan(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    auto plan =
        std::make_shared<const EncodePlan>(engine(env).model().plan(to_plan_options(info[0].As<Napi::Object>())));
    const Napi::Object object = Environment::of(env).plan_class.New({});
    PlanHandle::Unwrap(object)->plan = std::move(plan);
    return object;
  });
}

// call(plan, out, adapter)
Napi::Value ModelHandle::call(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const Model& model = engine(env).model();
    Environment& environment = Environment::of(env);
    if (!info[0].IsObject() || !info[0].As<Napi::Object>().InstanceOf(environment.plan_class.Value()))
      fail(Code::kInternal, "a call needs a plan");
    std::shared_ptr<const EncodePlan> plan = PlanHandle::Unwrap(info[0].As<Napi::Object>())->plan;
    if (!plan) fail(Code::kInternal, "a call needs a plan of a model");
    if (!info[2].IsNull() && !info[2].IsUndefined()) {
      EncodePlan own = *plan;
      own.adapter = AdapterHandle::of(environment, info[2], model.encoder().device());
      plan = std::make_shared<const EncodePlan>(std::move(own));
    }
    const auto out = info[1].As<Napi::Float32Array>();
    if (!info[1].IsTypedArray() || out.TypedArrayType() != napi_float32_array ||
        static_cast<int64_t>(out.ElementLength()) % plan->dimension != 0)
      fail(Code::kInternal, "out must be a Float32Array of rows of %lld", static_cast<long long>(plan->dimension));
    const Napi::Object object = environment.call_class.New({});
    CallHandle::Unwrap(object)->open(environment, *this, engine_, plan, out);
    return object;
  });
}

// loadAdapter(source, done)
Napi::Value ModelHandle::load_adapter(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    engine(env);
    const auto options = info[0].As<Napi::Object>();
    const AdapterSource source = to_adapter(options);
    Environment& environment = Environment::of(env);
    const auto cancelled = std::make_shared<std::atomic<bool>>(false);
    const Napi::Object task = to_task(env, [cancelled] { *cancelled = true; });
    const auto call = environment.begin_call(env, info[1].As<Napi::Function>(), info.This().As<Napi::Object>());
    try {
      environment.start_load(
          call, cancelled,
          [source, held = std::make_shared<Opened>(engine_)](const KeepLoading& keep_loading) -> MakeResult {
            const Model& model = held->engine->model();
            if (!model.transformer())
              fail(Code::kInvalidOption, "a static model has no matrices that an adapter could change");
            auto weights = AdapterWeights::load(source, model.transformer()->config(), model.encoder().shared_device(),
                                                keep_loading);
            return [weights = std::move(weights)](Napi::Env to, PendingCall&) -> Napi::Value {
              return AdapterHandle::make(Environment::of(to), weights);
            };
          });
    } catch (...) {
      call->settle(current_error());
    }
    return task;
  });
}

// dispose(freed): calls back when the memory is free, or when others still hold the model.
void ModelHandle::dispose(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  guarded(env, [&] {
    if (!environment_ || !info[0].IsFunction()) return release();
    std::function<void()> freed;
    try {
      const auto call = environment_->begin_call(env, info[0].As<Napi::Function>(), info.This().As<Napi::Object>());
      freed = [call] { call->settle(nullptr); };
    } catch (...) {
      release();  // nobody is told when the memory is free
      throw;
    }
    release(std::move(freed));
  });
}

}  // namespace embedcore
