// The RawModel and RawPlan of src/core/binding.ts.
#pragma once

#include <napi.h>

#include <memory>
#include <set>

#include "binding/environment.h"
#include "engine/engine.h"

namespace embedcore {

class PlanHandle : public Napi::ObjectWrap<PlanHandle> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit PlanHandle(const Napi::CallbackInfo& info) : Napi::ObjectWrap<PlanHandle>(info) {}
  std::shared_ptr<const EncodePlan> plan;

 private:
  Napi::Value dimension(const Napi::CallbackInfo& info);
};

class ModelHandle : public Napi::ObjectWrap<ModelHandle> {
 public:
  static Napi::Function define(Napi::Env env);
  // addon.load
  static Napi::Value load(const Napi::CallbackInfo& info);

  explicit ModelHandle(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ModelHandle>(info) {}
  ~ModelHandle() override;

  // The environment is being destroyed: fails the handle's calls, releases the engine, and does not use the environment
  // any more.
  void detach();

  std::set<CallHandle*> calls;

 private:
  Napi::Value info(const Napi::CallbackInfo& info);
  Napi::Value plan(const Napi::CallbackInfo& info);
  Napi::Value call(const Napi::CallbackInfo& info);
  Napi::Value load_adapter(const Napi::CallbackInfo& info);
  void dispose(const Napi::CallbackInfo& info);
  Engine& engine(Napi::Env env);
  // Fails the handle's calls and releases the engine on another thread. A second call has no effect.
  void release(std::function<void()> freed = {}) noexcept;

  Environment* environment_ = nullptr;
  std::shared_ptr<Engine> engine_;
};

}  // namespace embedcore
