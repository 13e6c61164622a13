// Shared by the targets: a parser may only throw coded errors of the expected kinds; anything else is a finding.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>
#include <string_view>

#include "base/error.h"
#include "base/utf8.h"

namespace embedcore {

[[noreturn]] inline void finding(const char* what, const char* detail = "") {
  std::fprintf(stderr, "finding: %s %s\n", what, detail);
  std::abort();
}

inline std::string_view as_text(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// 0 if the input was accepted, -1 if it was refused properly (libFuzzer's value for "not worth keeping").
template <typename Parse>
int run_parser(std::initializer_list<Code> allowed, Parse&& parse) {
  try {
    parse();
    return 0;
  } catch (const Error& error) {
    const std::string_view sentence = error.what();
    for (size_t i = 0; i < sentence.size();) {
      const size_t length = utf8_length(sentence.substr(i));
      if (length == 0 || static_cast<unsigned char>(sentence[i]) < 0x20)
        finding("an error's sentence is not printable UTF-8:", error.what());
      i += length;
    }
    if (sentence.size() > 4 * 4096 + 16) finding("an error's sentence has no end:", error.what());
    for (const Code code : allowed)
      if (error.code == code) return -1;
    finding("unexpected code", code_name(error.code));
  }
}

}  // namespace embedcore
