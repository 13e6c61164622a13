// Comparisons and conversions of finished vectors: functions of RawAddon of src/core/binding.ts.
//
// They read and write the caller's arrays on the workers: nobody may change an array before the callback, which keeps
// it. (src/ gives them copies of what users hold.)
#pragma once

#include <napi.h>

namespace embedcore {

// quantize(data, dimension, precision, ranges, out, done)
Napi::Value quantize(const Napi::CallbackInfo& info);
// ranges(data, dimension, out, done)
Napi::Value ranges(const Napi::CallbackInfo& info);
// similarity(a, b, dimension, kind, out, done)
Napi::Value similarity(const Napi::CallbackInfo& info);

}  // namespace embedcore
