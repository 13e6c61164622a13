// The RawModel and RawPlan of src/binding.ts.
#pragma once

#include <napi.h>

#include <memory>
#include <unordered_map>

#include "binding/environment.h"
#include "engine/engine.h"

namespace embedcore {

// The CPU's, or with EMBEDCORE_CPU_ISA=reference the plain loops that define what is right. Throws Error when it names
// no backend.
const Backend& chosen_backend();

class PlanHandle : public Napi::ObjectWrap<PlanHandle> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit PlanHandle(const Napi::CallbackInfo& info) : Napi::ObjectWrap<PlanHandle>(info) {}
  EncodePlan plan;

 private:
  Napi::Value dimension(const Napi::CallbackInfo& info);
};

class ModelHandle : public Napi::ObjectWrap<ModelHandle> {
 public:
  static Napi::Function define(Napi::Env env);
  // addon.load
  static void load(const Napi::CallbackInfo& info);

  explicit ModelHandle(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ModelHandle>(info) {}
  ~ModelHandle() override;

  // Fails the handle's calls and lets the engine go; joins its workers if nobody else holds it. Twice is once.
  void release();
  // The environment is going: release, and never look at it again.
  void detach();

 private:
  Napi::Value info(const Napi::CallbackInfo& info);
  Napi::Value plan(const Napi::CallbackInfo& info);
  Napi::Value encode(const Napi::CallbackInfo& info);
  void dispose(const Napi::CallbackInfo& info);
  Engine& engine(Napi::Env env);

  Environment* environment_ = nullptr;
  std::shared_ptr<Engine> engine_;
  std::unordered_map<uint64_t, std::shared_ptr<Job>> running_;
  int64_t accounted_ = 0;  // bytes told to V8
};

}  // namespace embedcore
