// tokenizer.json for the `tokenizers` library: a function of RawAddon of src/core/binding.ts.
#pragma once

#include <napi.h>

namespace embedcore {

// tokenizerFile(path, done)
Napi::Value tokenizer_file(const Napi::CallbackInfo& info);

}  // namespace embedcore
