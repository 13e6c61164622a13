#include "binding/devices.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <vector>

#include "binding/backends.h"
#include "binding/convert.h"
#include "binding/environment.h"
#include "cpu/dispatch.h"
#include "engine/cores.h"
#include "engine/plugin.h"

namespace embedcore {

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

namespace {

struct Found {
  int32_t index = 0;
  DeviceInfo info;
};

Napi::Object to_object(Napi::Env env, const Found& found) {
  const DeviceInfo& info = found.info;
  Napi::Object object = Napi::Object::New(env);
  object.Set("index", Napi::Number::New(env, found.index));
  object.Set("name", info.name);
  object.Set("computeCapability", Napi::Number::New(env, info.compute_capability));
  object.Set("memoryBytes", Napi::Number::New(env, static_cast<double>(info.memory_bytes)));
  object.Set("freeBytes", Napi::Number::New(env, static_cast<double>(info.free_bytes)));
  object.Set("driver", info.driver);
  object.Set("reason", info.reason);
  return object;
}

// Runs `search` on a separate thread. The arguments are as those of addon.load: options, done.
Napi::Value on_thread(const Napi::CallbackInfo& info, std::function<MakeResult()> search) {
  const Napi::Env env = info.Env();
  Environment& environment = Environment::of(env);
  const auto never = std::make_shared<std::atomic<bool>>(false);
  const auto call = environment.begin_call(env, info[1].As<Napi::Function>(), info[0].As<Napi::Object>());
  try {
    environment.start_load(call, never, [search](const KeepLoading&) { return search(); });
  } catch (...) {
    call->settle(current_error());
  }
  return env.Undefined();
}

}  // namespace

// devices({ library, which }, done)
Napi::Value cuda_devices(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto options = info[0].As<Napi::Object>();
    const std::string library = get_string(options, "library");
    const Napi::Value which = options.Get("which");
    const bool until_usable = which.IsString() && which.As<Napi::String>().Utf8Value() == "usable";
    const int32_t only = which.IsNumber() ? which.As<Napi::Number>().Int32Value() : -1;
    return on_thread(info, [=]() -> MakeResult {
      const Plugin& plugin = open_plugin(library);
      const int32_t count = plugin.backend ? std::max(plugin.backend->device_count(), 0) : 0;
      std::vector<Found> found;
      for (int32_t i = 0; i < count; ++i) {
        if (only >= 0 && i != only) continue;
        found.push_back({i, describe_device(*plugin.backend, i)});
        if (until_usable && !found.back().info.reason[0]) break;
      }
      const std::string reason = plugin.backend && count == 0 ? reason_for_none(*plugin.backend) : plugin.reason;
      return [&plugin, count, found, reason](Napi::Env env, PendingCall&) -> Napi::Value {
        Napi::Object object = Napi::Object::New(env);
        object.Set("library", plugin.path);
        object.Set("absent", Napi::Boolean::New(env, plugin.absent));
        object.Set("opened", Napi::Boolean::New(env, plugin.backend != nullptr));
        object.Set("backend", plugin.backend ? plugin.backend->name : "");
        object.Set("reason", reason);
        object.Set("count", Napi::Number::New(env, count));
        Napi::Array list = Napi::Array::New(env);
        for (const Found& one : found) list.Set(list.Length(), to_object(env, one));
        object.Set("devices", list);
        return object;
      };
    });
  });
}

// fastDtype({ library, index }, done)
Napi::Value cuda_fast_dtype(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto options = info[0].As<Napi::Object>();
    const std::string library = get_string(options, "library");
    const auto index = static_cast<int32_t>(get_int(options, "index"));
    return on_thread(info, [=]() -> MakeResult {
      const Plugin& plugin = open_plugin(library);
      if (!plugin.backend) throw Error(Code::kDevice, plugin.reason);
      const DType dtype = fast_dtype(*plugin.backend, index);
      return [dtype](Napi::Env env, PendingCall&) -> Napi::Value { return Napi::String::New(env, dtype_name(dtype)); };
    });
  });
}

Napi::Value first_device_warning(const Napi::CallbackInfo& info) {
  static std::atomic<bool> given{false};
  return Napi::Boolean::New(info.Env(), !given.exchange(true));
}

}  // namespace embedcore
