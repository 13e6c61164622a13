// The addon's exports: RawAddon of src/core/binding.ts.
#include <dlfcn.h>
#include <napi.h>

#include "binding/adapter.h"
#include "binding/call.h"
#include "binding/devices.h"
#include "binding/environment.h"
#include "binding/linalg.h"
#include "binding/model.h"
#include "binding/static_trainer.h"
#include "binding/static_vectors.h"
#include "binding/tokenizer.h"
#include "binding/trainer.h"
#include "binding/vectors.h"

namespace embedcore {

namespace {

// Node unloads an addon with the last worker_thread that loaded it, while our threads may still run its code: those
// that free models, and workers on their way out. Once loaded, it stays.
void stay_loaded() {
  static const char here = 0;
  Dl_info library;
  if (!dladdr(&here, &library) || !dlopen(library.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE))
    fail(Code::kNativeLoad, "the addon cannot be kept in memory once it is loaded");
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  return guarded(env, [&] {
    stay_loaded();
    auto* environment = new Environment(env);
    env.SetInstanceData<Environment>(environment);
    environment->model_class = Napi::Persistent(ModelHandle::define(env));
    environment->plan_class = Napi::Persistent(PlanHandle::define(env));
    environment->adapter_class = Napi::Persistent(AdapterHandle::define(env));
    environment->call_class = Napi::Persistent(CallHandle::define(env));
    exports.Set("cpu", Napi::Function::New(env, cpu));
    exports.Set("devices", Napi::Function::New(env, cuda_devices));
    exports.Set("fastDtype", Napi::Function::New(env, cuda_fast_dtype));
    exports.Set("firstDeviceWarning", Napi::Function::New(env, first_device_warning));
    exports.Set("load", Napi::Function::New(env, ModelHandle::load));
    exports.Set("quantize", Napi::Function::New(env, quantize));
    exports.Set("ranges", Napi::Function::New(env, ranges));
    exports.Set("tokenizerFile", Napi::Function::New(env, tokenizer_file));
    exports.Set("similarity", Napi::Function::New(env, similarity));
    environment->trainer_class = Napi::Persistent(TrainerHandle::define(env));
    exports.Set("parameters", Napi::Function::New(env, TrainerHandle::list_parameters));
    exports.Set("stepBytes", Napi::Function::New(env, TrainerHandle::step_bytes));
    exports.Set("trainer", Napi::Function::New(env, TrainerHandle::open));
    environment->static_vectors_class = Napi::Persistent(StaticVectorsHandle::define(env));
    exports.Set("readVectors", Napi::Function::New(env, StaticVectorsHandle::read));
    environment->static_trainer_class = Napi::Persistent(StaticTrainerHandle::define(env));
    exports.Set("staticTrainer", Napi::Function::New(env, StaticTrainerHandle::open));
    exports.Set("commonComponent", Napi::Function::New(env, common_component));
    environment->moments_class = Napi::Persistent(MomentsHandle::define(env));
    exports.Set("moments", Napi::Function::New(env, MomentsHandle::open));
    exports.Set("symmetricEigen", Napi::Function::New(env, symmetric_eigen_call));
    exports.Set("orthogonalMap", Napi::Function::New(env, orthogonal_map_call));
    return exports;
  });
}

}  // namespace

}  // namespace embedcore

static Napi::Object init_addon(Napi::Env env, Napi::Object exports) { return embedcore::init(env, exports); }
NODE_API_MODULE(embedcore, init_addon)
