// What the machine has to compute on: cpu(), devices(), fastDtype() and firstDeviceWarning() of src/core/binding.ts.
#pragma once

#include <napi.h>

namespace embedcore {

Napi::Value cpu(const Napi::CallbackInfo& info);
Napi::Value cuda_devices(const Napi::CallbackInfo& info);
Napi::Value cuda_fast_dtype(const Napi::CallbackInfo& info);
Napi::Value first_device_warning(const Napi::CallbackInfo& info);

}  // namespace embedcore
