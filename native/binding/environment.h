// What one JavaScript environment (the main thread or a worker_thread) keeps: its calls in flight, its way back from
// other threads, its background threads, its class constructors.
#pragma once

#include <napi.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <unordered_map>

#include "base/error.h"
#include "engine/background.h"

namespace embedcore {

class ModelHandle;

// Runs closures on the environment's thread. Safe to use from any thread, also after the environment has gone (then it
// drops them). A closure holds no JavaScript value: what it needs of those lies in Environment::calls under the call's
// number.
class ReturnPath {
 public:
  using Message = std::function<void(Napi::Env)>;
  void open(Napi::Env env);
  void post(Message message);
  void hold(Napi::Env env, bool alive);  // whether the event loop stays alive for it; on the environment's thread
  void close();

 private:
  std::mutex mutex_;
  napi_threadsafe_function function_ = nullptr;
};

// A call that JavaScript waits for: its callback and the objects that must live until then.
struct PendingCall {
  Napi::FunctionReference done;
  Napi::ObjectReference kept;
};

class Environment {
 public:
  static Environment& of(Napi::Env env) { return *env.GetInstanceData<Environment>(); }
  explicit Environment(Napi::Env env);
  ~Environment();

  // Registers a call; the event loop stays alive until it is finished.
  uint64_t begin_call(Napi::Env env, Napi::Function done, Napi::Object kept);
  // Calls back with (error) or (null, result) on the environment's thread; a call that is gone is ignored.
  void finish_call(Napi::Env env, uint64_t call, const Error* error,
                   const std::function<Napi::Value(Napi::Env, PendingCall&)>& result);
  // Runs `work` in the background, then calls back on the environment's thread. The result maker may be empty.
  void run_in_background(Napi::Env env, Napi::Function done, Napi::Object kept,
                         std::function<std::function<Napi::Value(Napi::Env, PendingCall&)>()> work);

  std::shared_ptr<ReturnPath> path = std::make_shared<ReturnPath>();
  Napi::FunctionReference model_class, plan_class;
  std::set<ModelHandle*> models;

 private:
  static void clean_up(void* self);

  napi_env env_;
  uint64_t next_call_ = 1;
  std::unordered_map<uint64_t, PendingCall> calls_;
  std::unique_ptr<Background> background_;
  bool closed_ = false;
};

Napi::Error to_napi(Napi::Env env, const Error& error);
// Runs a body that may throw Error and rethrows it as a JavaScript error.
template <typename Body>
auto guarded(Napi::Env env, Body&& body) -> decltype(body()) {
  try {
    return body();
  } catch (const Error& error) {
    throw to_napi(env, error);
  } catch (const std::bad_alloc&) {
    throw to_napi(env, Error(Code::kOutOfMemory, "out of memory"));
  }
}

}  // namespace embedcore
