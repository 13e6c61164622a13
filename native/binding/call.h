// The RawCall of src/core/binding.ts: one encode call.
#pragma once

#include <napi.h>

#include <memory>

#include "binding/environment.h"
#include "engine/engine.h"

namespace embedcore {

class CallHandle : public Napi::ObjectWrap<CallHandle> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit CallHandle(const Napi::CallbackInfo& info) : Napi::ObjectWrap<CallHandle>(info) {}
  ~CallHandle() override;

  // out: Float32Array [rows, plan.dimension]
  void open(Environment& environment, ModelHandle& model, std::shared_ptr<Engine> engine,
            std::shared_ptr<const EncodePlan> plan, Napi::Float32Array out);
  // Fails the call; after this nothing is written to its memory.
  void fail(const std::shared_ptr<const Error>& error) noexcept;
  // The environment is being destroyed: fail the call, and do not use the environment any more.
  void detach(const std::shared_ptr<const Error>& error) noexcept;
  // The model was disposed or collected: its engine is released.
  void leave_model(const std::shared_ptr<const Error>& error) noexcept;

 private:
  void submit(const Napi::CallbackInfo& info);
  void abort(const Napi::CallbackInfo& info);

  Environment* environment_ = nullptr;
  ModelHandle* model_ = nullptr;
  std::weak_ptr<Engine> engine_;
  std::shared_ptr<Call> call_;
  Napi::ObjectReference out_;  // keeps the memory of the rows
};

}  // namespace embedcore
