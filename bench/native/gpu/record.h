// One line of JSON about one case. It is printed at once, so that what was measured stays if the program is ended.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>

namespace embedcore::gpu_bench {

class Record {
 public:
  Record& text(const char* name, const std::string& value) {
    std::string quoted = "\"";
    for (const char c : value) {
      if (c == '"' || c == '\\') quoted += '\\';
      quoted += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
    return add(name, quoted + "\"");
  }
  Record& number(const char* name, int64_t value) { return add(name, std::to_string(value)); }
  Record& real(const char* name, double value) {
    if (!std::isfinite(value)) return add(name, "null");
    char digits[32];
    std::snprintf(digits, sizeof digits, "%.7g", value);
    return add(name, digits);
  }
  Record& flag(const char* name, bool value) { return add(name, value ? "true" : "false"); }
  Record& json(const char* name, const std::string& value) { return add(name, value); }

  std::string object() const { return "{" + fields_ + "}"; }
  void print() const {
    std::printf("{%s}\n", fields_.c_str());
    std::fflush(stdout);
  }

 private:
  Record& add(const char* name, const std::string& value) {
    fields_ += (fields_.empty() ? "\"" : ",\"") + std::string(name) + "\":" + value;
    return *this;
  }
  std::string fields_;
};

}  // namespace embedcore::gpu_bench
