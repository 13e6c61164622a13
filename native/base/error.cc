#include "base/error.h"

#include <cstdarg>
#include <cstdio>
#include <new>

#include "base/utf8.h"

namespace embedcore {

namespace {

constexpr size_t kMaxMessage = 4096;

// Writes control characters and ill-formed bytes as \x0a and puts a backslash before the characters of `escaped`; cuts
// at the end of a character.
std::string printable(std::string_view text, size_t limit, std::string_view escaped) {
  std::string out;
  size_t i = 0;
  while (i < text.size() && out.size() < limit) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const size_t length = utf8_length(text.substr(i));
    if (length == 0 || byte < 0x20 || byte == 0x7f) {
      char code[8];
      std::snprintf(code, sizeof code, "\\x%02x", byte);
      out += code;
      ++i;
      continue;
    }
    if (escaped.find(text[i]) != std::string_view::npos) out += '\\';
    out += text.substr(i, length);
    i += length;
  }
  return i < text.size() ? out + "..." : out;
}

}  // namespace

const char* code_name(Code code) {
  switch (code) {
#define EMBEDCORE_CODE(name, text) \
  case Code::name: return "ERR_EMBEDCORE_" text;
    EMBEDCORE_CODES(EMBEDCORE_CODE)
#undef EMBEDCORE_CODE
  }
  return "ERR_EMBEDCORE_INTERNAL";
}

void fail(Code code, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  va_list again;
  va_copy(again, arguments);
  const int length = std::vsnprintf(nullptr, 0, format, arguments);
  va_end(arguments);
  std::string message;
  if (length > 0) {
    message.resize(static_cast<size_t>(length));
    std::vsnprintf(message.data(), message.size() + 1, format, again);
  }
  va_end(again);
  if (message.size() > kMaxMessage) {
    // The middle is cut, because the value that is too long is there; the rest of the sentence stays.
    size_t tail = message.size() - kMaxMessage / 2;
    while (tail < message.size() && (static_cast<unsigned char>(message[tail]) & 0xc0) == 0x80) ++tail;
    throw Error(code, printable(message, kMaxMessage / 2, "") +
                          printable(std::string_view(message).substr(tail), kMaxMessage, ""));
  }
  throw Error(code, printable(message, 4 * kMaxMessage, ""));
}

std::string quote(std::string_view text, size_t limit) { return "\"" + printable(text, limit, "\"\\") + "\""; }

namespace {

// Created while the library is loaded, for use when there is no memory for an error. Never destroyed: threads may fail
// while the process ends.
const auto& kNoMemory =
    *new std::shared_ptr<const Error>(std::make_shared<const Error>(Code::kOutOfMemory, "out of memory"));

}  // namespace

std::shared_ptr<const Error> shared_error(Code code, const char* message) noexcept {
  try {
    return std::make_shared<const Error>(code, message);
  } catch (...) {
    return kNoMemory;
  }
}

std::shared_ptr<const Error> current_error() noexcept {
  try {
    throw;
  } catch (const Error& error) {
    return shared_error(error.code, error.what());
  } catch (const std::bad_alloc&) {
    return kNoMemory;
  } catch (const std::exception& error) {
    return shared_error(Code::kInternal, error.what());
  } catch (...) {
    return shared_error(Code::kInternal, "unknown failure");
  }
}

}  // namespace embedcore
