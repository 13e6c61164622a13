#include "binding/adapter.h"

namespace embedcore {

Napi::Function AdapterHandle::define(Napi::Env env) {
  return DefineClass(
      env, "Adapter",
      {InstanceAccessor<&AdapterHandle::bytes>("bytes"), InstanceMethod<&AdapterHandle::dispose>("dispose")});
}

Napi::Object AdapterHandle::make(Environment& environment, std::shared_ptr<const AdapterWeights> weights) {
  const Napi::Object object = environment.adapter_class.New({});
  AdapterHandle* handle = Unwrap(object);
  environment.adapters.insert(handle);
  handle->environment_ = &environment;
  handle->bytes_ = static_cast<int64_t>(weights->bytes());
  Napi::MemoryManagement::AdjustExternalMemory(object.Env(), handle->bytes_);
  handle->adapter_ = std::make_shared<Adapter>(std::move(weights));
  return object;
}

std::shared_ptr<const Adapter> AdapterHandle::of(Environment& environment, Napi::Value value,
                                                 const OpenDevice& device) {
  if (!value.IsObject() || !value.As<Napi::Object>().InstanceOf(environment.adapter_class.Value()))
    fail(Code::kInternal, "a call needs an adapter of a model");
  const std::shared_ptr<Adapter> adapter = Unwrap(value.As<Napi::Object>())->adapter_;
  if (!adapter) fail(Code::kDisposed, "the adapter was unloaded");
  if (&adapter->hold()->device() != &device) fail(Code::kInternal, "the adapter is one of another model");
  return adapter;
}

AdapterHandle::~AdapterHandle() {
  release();
  if (environment_) environment_->adapters.erase(this);
}

void AdapterHandle::detach() {
  environment_ = nullptr;
  release();
}

void AdapterHandle::release(std::function<void()> freed) noexcept {
  if (!adapter_) {
    if (freed) freed();
    return;
  }
  if (environment_) Napi::MemoryManagement::AdjustExternalMemory(Env(), -bytes_);
  let_go(std::const_pointer_cast<AdapterWeights>(adapter_->take(std::move(freed))));
  adapter_ = nullptr;
}

Napi::Value AdapterHandle::bytes(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(bytes_));
}

// dispose(freed)
void AdapterHandle::dispose(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  guarded(env, [&] {
    if (!environment_ || !info[0].IsFunction()) return release();
    const auto call = environment_->begin_call(env, info[0].As<Napi::Function>(), info.This().As<Napi::Object>());
    release([call] { call->settle(nullptr); });
  });
}

}  // namespace embedcore
