// The keys of config.json that the reference's configuration classes know, and what each does here. A key in no list
// has no meaning in the reference either.
#pragma once

#include <string_view>

#include "base/json.h"

namespace embedcore {

enum class KeyEffect {
  kActedOn,   // read by families/*.cc, by refuse_unsupported_keys or by the TypeScript side
  kNoEffect,  // heads, training, generation and the like: no effect on hidden states at inference
  kRefused,   // would change hidden states and is not supported; only null, false or an empty value is accepted
  kUnknown,
};

KeyEffect config_key_effect(std::string_view model_type, std::string_view key);

// Throws kUnsupportedModel for a key of config.json that would change the hidden states in a way not supported.
void refuse_unsupported_keys(const Json& config);

}  // namespace embedcore
