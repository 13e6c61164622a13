// The RawStaticVectors of src/core/static-binding.ts, and the functions beside it.
#pragma once

#include <napi.h>

#include <memory>

#include "static/nearest.h"

namespace embedcore {

class StaticVectorsHandle : public Napi::ObjectWrap<StaticVectorsHandle> {
 public:
  static Napi::Function define(Napi::Env env);
  // addon.readVectors(options, done)
  static Napi::Value read(const Napi::CallbackInfo& info);
  static Napi::Object make(Napi::Env env, SharedVectors vectors);

  explicit StaticVectorsHandle(const Napi::CallbackInfo& info) : Napi::ObjectWrap<StaticVectorsHandle>(info) {}
  ~StaticVectorsHandle() override;

 private:
  Napi::Value info(const Napi::CallbackInfo& info);
  Napi::Value find(const Napi::CallbackInfo& info);
  Napi::Value words(const Napi::CallbackInfo& info);
  Napi::Value counts(const Napi::CallbackInfo& info);
  Napi::Value vectors(const Napi::CallbackInfo& info);
  Napi::Value nearest(const Napi::CallbackInfo& info);
  Napi::Value documents(const Napi::CallbackInfo& info);
  Napi::Value write(const Napi::CallbackInfo& info);
  void dispose(const Napi::CallbackInfo& info);

  const SharedVectors& held() const;
  void release() noexcept;

  SharedVectors vectors_;
  std::shared_ptr<UnitTiles> tiles_;
  int64_t accounted_ = 0;
};

// addon.commonComponent(data, dimension, done)
Napi::Value common_component(const Napi::CallbackInfo& info);

}  // namespace embedcore
