// The RawAdapter of src/core/binding.ts: an adapter beside a model.
#pragma once

#include <napi.h>

#include <memory>

#include "binding/environment.h"
#include "model/adapter_weights.h"

namespace embedcore {

class AdapterHandle : public Napi::ObjectWrap<AdapterHandle> {
 public:
  static Napi::Function define(Napi::Env env);
  static Napi::Object make(Environment& environment, std::shared_ptr<const AdapterWeights> weights);
  // Throws Error(kInternal) if the value is not an adapter, and Error(kDisposed) after its dispose().
  static std::shared_ptr<const Adapter> of(Environment& environment, Napi::Value value, const OpenDevice& device);

  explicit AdapterHandle(const Napi::CallbackInfo& info) : Napi::ObjectWrap<AdapterHandle>(info) {}
  ~AdapterHandle() override;
  // The environment is being destroyed and is not used any more.
  void detach();

 private:
  Napi::Value bytes(const Napi::CallbackInfo& info);
  void dispose(const Napi::CallbackInfo& info);
  // Frees the memory on another thread, when the last batch that reads it has ended.
  void release(std::function<void()> freed = {}) noexcept;

  Environment* environment_ = nullptr;
  std::shared_ptr<Adapter> adapter_;
  int64_t bytes_ = 0;
};

}  // namespace embedcore
