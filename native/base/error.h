// Coded errors of the core. Each Code has the name of one ERR_EMBEDCORE_* code of src/core/errors.ts; the binding turns
// an Error into a JavaScript error with that code. Messages are sentences with the offending value in them.
#pragma once

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

namespace embedcore {

#define EMBEDCORE_CODES(X)                    \
  X(kAborted, "ABORTED")                      \
  X(kDevice, "DEVICE")                        \
  X(kDisposed, "DISPOSED")                    \
  X(kHub, "HUB")                              \
  X(kHubChecksum, "HUB_CHECKSUM")             \
  X(kHubOffline, "HUB_OFFLINE")               \
  X(kInternal, "INTERNAL")                    \
  X(kInvalidConfig, "INVALID_CONFIG")         \
  X(kInvalidData, "INVALID_DATA")             \
  X(kInvalidFile, "INVALID_FILE")             \
  X(kInvalidOption, "INVALID_OPTION")         \
  X(kInvalidText, "INVALID_TEXT")             \
  X(kMissingTensor, "MISSING_TENSOR")         \
  X(kNativeLoad, "NATIVE_LOAD")               \
  X(kNonFinite, "NON_FINITE")                 \
  X(kNotFound, "NOT_FOUND")                   \
  X(kNoRanges, "NO_RANGES")                   \
  X(kOutOfMemory, "OUT_OF_MEMORY")            \
  X(kQueueFull, "QUEUE_FULL")                 \
  X(kShapeMismatch, "SHAPE_MISMATCH")         \
  X(kTextTooLong, "TEXT_TOO_LONG")            \
  X(kThreadLimit, "THREAD_LIMIT")             \
  X(kTokenizerMismatch, "TOKENIZER_MISMATCH") \
  X(kUnknownOption, "UNKNOWN_OPTION")         \
  X(kUnsupportedModel, "UNSUPPORTED_MODEL")   \
  X(kUnsupportedModule, "UNSUPPORTED_MODULE") \
  X(kWriteFailed, "WRITE_FAILED")

enum class Code {
#define EMBEDCORE_CODE(name, text) name,
  EMBEDCORE_CODES(EMBEDCORE_CODE)
#undef EMBEDCORE_CODE
};

// "ERR_EMBEDCORE_INVALID_FILE"
const char* code_name(Code code);

class Error : public std::runtime_error {
 public:
  Error(Code error_code, const std::string& message) : std::runtime_error(message), code(error_code) {}
  Code code;
};

// Throws Error with the formatted sentence. The sentence is always one line of printable UTF-8 of a few KB at most,
// whatever the values contain. Values that can be long or contain unusual characters should go through quote().
[[noreturn, gnu::format(printf, 2, 3)]] void fail(Code code, const char* format, ...);

// Text from outside, formatted for a sentence: in double quotes, with control characters and bytes that are not UTF-8
// escaped, cut to about `limit` bytes at the end of a character.
std::string quote(std::string_view text, size_t limit = 80);

// An Error that can be passed to another thread; works also when there is no memory for one.
std::shared_ptr<const Error> shared_error(Code code, const char* message) noexcept;
// The exception that is being handled.
std::shared_ptr<const Error> current_error() noexcept;

}  // namespace embedcore
