#include "base/memory_file.h"

#ifdef __linux__
#include <sys/mman.h>
#endif
#include <unistd.h>

#include <cerrno>

namespace embedcore {

std::unique_ptr<const MemoryFile> MemoryFile::make(std::string_view content) {
#ifdef __linux__
  std::unique_ptr<MemoryFile> file(new MemoryFile);
  file->descriptor_ = ::memfd_create("embedcore", MFD_CLOEXEC);
  if (file->descriptor_ < 0) return nullptr;
  while (!content.empty()) {
    const ssize_t written = ::write(file->descriptor_, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return nullptr;
    content.remove_prefix(static_cast<size_t>(written));
  }
  file->path_ = "/proc/self/fd/" + std::to_string(file->descriptor_);
  return file;
#else
  static_cast<void>(content);
  return nullptr;
#endif
}

MemoryFile::~MemoryFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace embedcore
