// A file in memory that has a path, for code that reads nothing but files. It ends with its object; whoever has opened
// the path before keeps what it opened.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace embedcore {

class MemoryFile {
 public:
  // Null where the system has no such files (all but Linux) or refuses one. The path needs /proc to be mounted.
  static std::unique_ptr<const MemoryFile> make(std::string_view content);

  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  ~MemoryFile();

  const std::string& path() const { return path_; }

 private:
  MemoryFile() = default;

  int descriptor_ = -1;
  std::string path_;
};

}  // namespace embedcore
