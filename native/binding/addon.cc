// The addon's exports: RawAddon of src/core/binding.ts.
#include <dlfcn.h>
#include <napi.h>

#include "binding/backends.h"
#include "binding/call.h"
#include "binding/convert.h"
#include "binding/environment.h"
#include "binding/model.h"
#include "binding/tokenizer.h"
#include "binding/vectors.h"
#include "cpu/dispatch.h"
#include "engine/cores.h"

namespace embedcore {

namespace {

Napi::Value cpu(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    Napi::Object object = Napi::Object::New(env);
    const char* forced = std::getenv("EMBEDCORE_CPU_ISA");
    object.Set("forced", Napi::Boolean::New(env, forced && *forced));
    object.Set("isa", chosen_backend().name);
    object.Set("cores", Napi::Number::New(env, available_cores()));
    const double quota = cpu_quota();
    object.Set("quota", quota > 0 ? Napi::Number::New(env, quota) : env.Null());
    Napi::Array able = Napi::Array::New(env), refused = Napi::Array::New(env);
    for (const CpuIsa& isa : cpu_isas()) {
      if (isa.table) {
        able.Set(able.Length(), isa.name);
        continue;
      }
      Napi::Object entry = Napi::Object::New(env);
      entry.Set("isa", isa.name);
      entry.Set("reason", isa.reason);
      refused.Set(refused.Length(), entry);
    }
    object.Set("features", able);
    object.Set("refused", refused);
    return object;
  });
}

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
    environment->call_class = Napi::Persistent(CallHandle::define(env));
    exports.Set("cpu", Napi::Function::New(env, cpu));
    exports.Set("load", Napi::Function::New(env, ModelHandle::load));
    exports.Set("quantize", Napi::Function::New(env, quantize));
    exports.Set("ranges", Napi::Function::New(env, ranges));
    exports.Set("tokenizerFile", Napi::Function::New(env, tokenizer_file));
    exports.Set("similarity", Napi::Function::New(env, similarity));
    return exports;
  });
}

}  // namespace

}  // namespace embedcore

static Napi::Object init_addon(Napi::Env env, Napi::Object exports) { return embedcore::init(env, exports); }
NODE_API_MODULE(embedcore, init_addon)
