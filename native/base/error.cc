#include "base/error.h"

#include <cstdarg>
#include <cstdio>

#include "base/utf8.h"

namespace embedcore {

const char* code_name(Code code) {
  switch (code) {
#define EMBEDCORE_CODE(name, text) \
  case Code::name:                 \
    return "ERR_EMBEDCORE_" text;
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
  throw Error(code, message);
}

std::string quote(std::string_view text, size_t limit) {
  std::string out = "\"";
  size_t i = 0;
  while (i < text.size() && out.size() <= limit) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const size_t length = utf8_length(text.substr(i));
    if (length == 0 || byte < 0x20 || byte == 0x7f) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\x%02x", byte);
      out += escaped;
      ++i;
      continue;
    }
    if (byte == '"' || byte == '\\') out += '\\';
    out += text.substr(i, length);
    i += length;
  }
  if (i < text.size()) out += "...";
  return out + "\"";
}

}  // namespace embedcore
