#include "binding/trainer.h"

#include "base/mapped_file.h"
#include "binding/backends.h"
#include "binding/convert.h"
#include "binding/convert_training.h"
#include "model/forward_plan.h"
#include "model/static_table.h"
#include "train/save.h"

namespace embedcore {

namespace {

// Trained values with gradients and two moments, all float32, and frozen weights.
int64_t weight_bytes(Trainer& trainer) {
  const int64_t trained = trainer.weights().values().list().elements() + trainer.head().values().list().elements();
  return 4 * trained * static_cast<int64_t>(sizeof(float)) + static_cast<int64_t>(trainer.weights().packed_bytes());
}

bool is_static(Napi::Value kind) { return kind.IsString() && kind.As<Napi::String>().Utf8Value() == "static"; }

ModelConfig read_config(const std::string& directory, bool is_static) {
  if (is_static) return trained_static_config(directory);
  const std::string path = directory + "/config.json";
  const auto file = MappedFile::open(path);
  return parse_model_config(Json::parse(file->text(), path, Json::Duplicates::kLastCounts));
}

Napi::Object to_parameter(Napi::Env env, const Parameter& parameter) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("name", parameter.name);
  Napi::Array shape = Napi::Array::New(env, parameter.shape.size());
  for (uint32_t i = 0; i < parameter.shape.size(); ++i)
    shape.Set(i, Napi::Number::New(env, static_cast<double>(parameter.shape[i])));
  object.Set("shape", shape);
  object.Set("offset", Napi::Number::New(env, static_cast<double>(parameter.offset)));
  return object;
}

Napi::Array to_list(Napi::Env env, const ParameterList& list) {
  Napi::Array array = Napi::Array::New(env, list.all().size());
  for (uint32_t i = 0; i < list.all().size(); ++i) array.Set(i, to_parameter(env, list.all()[i]));
  return array;
}

}  // namespace

Napi::Function TrainerHandle::define(Napi::Env env) {
  return DefineClass(
      env, "Trainer",
      {InstanceAccessor<&TrainerHandle::dimension>("dimension"),
       InstanceAccessor<&TrainerHandle::max_tokens>("maxTokens"),
       InstanceMethod<&TrainerHandle::parameters>("parameters"),
       InstanceMethod<&TrainerHandle::set_optimizer>("setOptimizer"),
       InstanceMethod<&TrainerHandle::accumulate>("accumulate"), InstanceMethod<&TrainerHandle::update>("update"),
       InstanceMethod<&TrainerHandle::clear_gradients>("clearGradients"),
       InstanceMethod<&TrainerHandle::use_average>("useAverage"), InstanceMethod<&TrainerHandle::encode>("encode"),
       InstanceMethod<&TrainerHandle::scales>("scales"), InstanceMethod<&TrainerHandle::save>("save"),
       InstanceMethod<&TrainerHandle::write_state>("writeState"),
       InstanceMethod<&TrainerHandle::read_state>("readState"), InstanceMethod<&TrainerHandle::memory>("memory"),
       InstanceMethod<&TrainerHandle::abort>("abort"), InstanceMethod<&TrainerHandle::dispose>("dispose")});
}

Napi::Value TrainerHandle::list_parameters(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    return to_list(env, *ParameterList::of(read_config(info[0].As<Napi::String>().Utf8Value(), is_static(info[1]))));
  });
}

Napi::Value TrainerHandle::step_bytes(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const auto from = info[0].As<Napi::Object>();
    const DType dtype = get_string(from, "dtype") == "bfloat16" ? DType::kBF16 : DType::kF32;
    return to_object(env, embedcore::step_bytes(read_config(get_string(from, "directory"), is_static(from.Get("kind"))),
                                                dtype, to_lora(from.Get("lora")), get_bool(from, "host")));
  });
}

Napi::Value TrainerHandle::open(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const auto from = info[0].As<Napi::Object>();
    const auto source = std::make_shared<TrainerSource>(to_trainer_source(from));
    const std::string device = from.Has("device") ? get_string(from, "device") : "cpu";
    const std::string library = from.Has("library") ? get_string(from, "library") : "";
    // Chosen here: JavaScript may change the environment variable while another thread would read it.
    const std::string isa = from.Has("isa") ? get_string(from, "isa") : chosen_backend().name;
    Environment& environment = Environment::of(env);
    const auto cancelled = std::make_shared<std::atomic<bool>>(false);
    const Napi::Object task = to_task(env, [cancelled] { *cancelled = true; });
    const auto call = environment.begin_call(env, info[1].As<Napi::Function>(), from);
    try {
      environment.start_load(call, cancelled, [source, device, isa, library](const KeepLoading& keep) -> MakeResult {
        const DeviceRef on = named_device(device, isa, library);
        const DevicePointer opened = OpenDevice::open(*on.backend, on.index);
        auto state = std::make_shared<TrainerState>();
        state->trainer = make_trainer(*source, opened, keep);
        state->stream = std::make_unique<OpenStream>(opened);
        state->threads = source->threads;
        return [state](Napi::Env to, PendingCall&) -> Napi::Value {
          Environment& home = Environment::of(to);
          const Napi::Object object = home.trainer_class.New({});
          TrainerHandle* handle = TrainerHandle::Unwrap(object);
          home.trainers.insert(handle);
          handle->environment_ = &home;
          handle->state_ = state;
          handle->accounted_ = weight_bytes(*state->trainer);
          Napi::MemoryManagement::AdjustExternalMemory(to, handle->accounted_);
          return object;
        };
      });
    } catch (...) {
      call->settle(current_error());
    }
    return task;
  });
}

TrainerHandle::~TrainerHandle() {
  release();
  if (environment_) environment_->trainers.erase(this);
}

void TrainerHandle::detach() {
  if (state_) state_->aborted = true;
  if (const auto job = job_.lock()) job->end(shared_error(Code::kAborted, "the JavaScript environment has ended"));
  environment_ = nullptr;
  release();
}

// The memory is freed on another thread, after the call under way.
void TrainerHandle::release(std::function<void()> freed) noexcept {
  if (!state_) {
    if (freed) freed();
    return;
  }
  state_->aborted = true;
  if (environment_) Napi::MemoryManagement::AdjustExternalMemory(Env(), -accounted_);
  let_go(std::move(state_), std::move(freed));
  state_ = nullptr;
}

TrainerState& TrainerHandle::state() const {
  if (!state_) fail(Code::kDisposed, "the trainer was disposed");
  return *state_;
}

void TrainerHandle::start(Napi::Env env, Napi::Value done, Napi::Object kept, Work work) {
  const std::shared_ptr<TrainerState> held = (state(), state_);
  if (held->busy.exchange(true)) fail(Code::kInternal, "the trainer is busy with another call");
  held->aborted = false;
  std::shared_ptr<OpenCall> call;
  try {
    call = environment_->begin_call(env, done.As<Napi::Function>(), kept);
    const auto result = std::make_shared<MakeResult>();
    job_ = environment_->start_team(
        held->threads,
        [held, work = std::move(work), result](const Stream& team, const std::function<void()>& give_way) {
          OpenStream& stream = *held->stream;
          if (held->trainer->device().backend().host_memory) {
            stream.team = team.team;
            stream.parallel = team.parallel;
          }
          const auto wanted = [&] {
            give_way();
            return !held->aborted.load();
          };
          *result = work(*held->trainer, stream, wanted);
        },
        [held, call, result](std::shared_ptr<const Error> error) {
          held->busy = false;
          call->settle(std::move(error), std::move(*result));
        });
  } catch (...) {
    held->busy = false;
    if (!call) throw;
    call->settle(current_error());
  }
}

Napi::Value TrainerHandle::parameters(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    Trainer& trainer = *state().trainer;
    const bool of_head = info[0].ToString().Utf8Value() == "head";
    return to_list(env, of_head ? trainer.head().values().list() : trainer.weights().values().list());
  });
}

Napi::Value TrainerHandle::dimension(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return Napi::Number::New(info.Env(), static_cast<double>(state().trainer->dimension()));
  });
}

Napi::Value TrainerHandle::max_tokens(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return Napi::Number::New(info.Env(), static_cast<double>(max_positions(state().trainer->weights().config())));
  });
}

void TrainerHandle::set_optimizer(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    if (state().busy) fail(Code::kInternal, "the trainer is busy with another call");
    const auto from = info[0].As<Napi::Object>();
    state().trainer->set_optimizer(to_groups(from, "encoderGroups"), to_groups(from, "headGroups"), to_optimizer(from));
  });
}

void TrainerHandle::accumulate(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    const auto from = info[0].As<Napi::Object>();
    const auto input = std::make_shared<StepInput>(to_step(from));
    check_texts(input->texts, state().trainer->weights().config());
    start(info.Env(), info[1], from,
          [input](Trainer& trainer, OpenStream& stream, const Trainer::Wanted& wanted) -> MakeResult {
            const StepResult result = trainer.accumulate(stream, *input, wanted);
            return [result](Napi::Env env, PendingCall&) { return to_object(env, result); };
          });
  });
}

void TrainerHandle::update(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    const double rate = info[0].ToNumber().DoubleValue(), factor = info[1].ToNumber().DoubleValue();
    start(info.Env(), info[2], Napi::Object::New(info.Env()),
          [rate, factor](Trainer& trainer, OpenStream& stream, const Trainer::Wanted&) -> MakeResult {
            const double norm = trainer.update(stream, rate, factor);
            return [norm](Napi::Env env, PendingCall&) -> Napi::Value { return Napi::Number::New(env, norm); };
          });
  });
}

void TrainerHandle::clear_gradients(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    start(info.Env(), info[0], Napi::Object::New(info.Env()),
          [](Trainer& trainer, OpenStream& stream, const Trainer::Wanted&) -> MakeResult {
            trainer.clear_gradients(stream);
            stream.wait();
            return {};
          });
  });
}

void TrainerHandle::use_average(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    start(info.Env(), info[1], Napi::Object::New(info.Env()),
          [use = info[0].ToBoolean().Value()](Trainer& trainer, OpenStream& stream,
                                              const Trainer::Wanted&) -> MakeResult {
            trainer.use_average(stream, use);
            return {};
          });
  });
}

void TrainerHandle::encode(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    const auto from = info[0].As<Napi::Object>();
    const auto texts = std::make_shared<StepTexts>(to_texts(from));
    check_texts(*texts, state().trainer->weights().config());
    auto rows = info[1].As<Napi::Float32Array>();
    if (!info[1].IsTypedArray() || rows.TypedArrayType() != napi_float32_array ||
        static_cast<int64_t>(rows.ElementLength()) != texts->count() * state().trainer->dimension())
      fail(Code::kInternal, "rows must be a Float32Array of %lld numbers",
           static_cast<long long>(texts->count() * state().trainer->dimension()));
    float* const to = rows.Data();
    Napi::Object kept = Napi::Object::New(info.Env());
    kept.Set("rows", rows);
    start(info.Env(), info[2], kept,
          [texts, to](Trainer& trainer, OpenStream& stream, const Trainer::Wanted& wanted) -> MakeResult {
            trainer.encode(stream, *texts, to, wanted);
            return {};
          });
  });
}

Napi::Value TrainerHandle::scales(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const std::vector<double>& logs = state().trainer->log_scales();
    Napi::Array list = Napi::Array::New(info.Env(), logs.size());
    for (uint32_t i = 0; i < logs.size(); ++i) list.Set(i, Napi::Number::New(info.Env(), std::exp(logs[i])));
    return list;
  });
}

void TrainerHandle::save(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    const auto from = info[0].As<Napi::Object>();
    SaveOptions options = to_save(from);
    if (get_bool(from, "withRest")) options.rest_of = state().trainer->weights().directory();
    start(info.Env(), info[1], from,
          [options](Trainer& trainer, OpenStream& stream, const Trainer::Wanted&) -> MakeResult {
            save_tensors(trainer, stream, options);
            return {};
          });
  });
}

void TrainerHandle::write_state(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    start(info.Env(), info[1], Napi::Object::New(info.Env()),
          [path = info[0].As<Napi::String>().Utf8Value()](Trainer& trainer, OpenStream& stream,
                                                          const Trainer::Wanted&) -> MakeResult {
            embedcore::write_state(trainer, stream, path);
            return {};
          });
  });
}

void TrainerHandle::read_state(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    start(info.Env(), info[1], Napi::Object::New(info.Env()),
          [path = info[0].As<Napi::String>().Utf8Value()](Trainer& trainer, OpenStream& stream,
                                                          const Trainer::Wanted&) -> MakeResult {
            embedcore::read_state(trainer, stream, path);
            return {};
          });
  });
}

Napi::Value TrainerHandle::memory(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    Napi::Object object = Napi::Object::New(env);
    object.Set("weights", Napi::Number::New(env, static_cast<double>(accounted_)));
    object.Set("activations",
               Napi::Number::New(env, static_cast<double>(state().busy ? 0 : state().trainer->activation_bytes())));
    return object;
  });
}

void TrainerHandle::abort(const Napi::CallbackInfo&) {
  if (state_) state_->aborted = true;
}

void TrainerHandle::dispose(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  guarded(env, [&] {
    if (!environment_ || !info[0].IsFunction()) return release();
    std::function<void()> freed;
    try {
      const auto call = environment_->begin_call(env, info[0].As<Napi::Function>(), info.This().As<Napi::Object>());
      freed = [call] { call->settle(nullptr); };
    } catch (...) {
      release();
      throw;
    }
    release(std::move(freed));
  });
}

}  // namespace embedcore
