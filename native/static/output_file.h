// A file that is whole or not there: bytes go to a temporary file beside it, which is renamed when they are on the
// disk.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

namespace embedcore {

class OutputFile {
 public:
  // Throws Error(kWriteFailed), as all of these functions.
  explicit OutputFile(const std::string& path);
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  ~OutputFile();  // removes what was not committed

  void write(const void* bytes, size_t count);
  void write(std::string_view text) { write(text.data(), text.size()); }
  template <typename Value>
  void write_value(const Value& value) {
    write(&value, sizeof value);
  }
  void commit();

 private:
  [[noreturn]] void fail_now(const char* action) const;
  const std::string path_, temporary_;
  std::FILE* file_ = nullptr;
};

}  // namespace embedcore
