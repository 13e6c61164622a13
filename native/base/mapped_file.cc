#include "base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <limits>
#include <map>
#include <mutex>
#include <system_error>
#include <tuple>

#include "base/error.h"

namespace embedcore {

namespace {

using Identity = std::tuple<dev_t, ino_t, off_t, int64_t, int64_t>;

struct Cache {
  std::mutex mutex;
  std::map<Identity, std::weak_ptr<const MappedFile>> files;
};

// Never destroyed, because engine threads may release a model while the process ends.
Cache& cache() {
  static Cache* const instance = new Cache;
  return *instance;
}

Identity identity_of(const struct stat& status) {
#ifdef __APPLE__
  const timespec& changed = status.st_mtimespec;
#else
  const timespec& changed = status.st_mtim;
#endif
  return {status.st_dev, status.st_ino, status.st_size, static_cast<int64_t>(changed.tv_sec),
          static_cast<int64_t>(changed.tv_nsec)};
}

[[noreturn]] void fail_errno(const std::string& path, const char* action, int error) {
  const Code code = error == ENOENT || error == ENOTDIR ? Code::kNotFound
                    : error == ENOMEM                   ? Code::kOutOfMemory
                                                        : Code::kInvalidFile;
  fail(code, "%s: cannot %s: %s (errno %d)", path.c_str(), action, std::generic_category().message(error).c_str(),
       error);
}

void require_regular(const std::string& path, const struct stat& status) {
  if (S_ISREG(status.st_mode)) return;
  const char* what = S_ISDIR(status.st_mode)    ? "a directory"
                     : S_ISFIFO(status.st_mode) ? "a pipe"
                     : S_ISSOCK(status.st_mode) ? "a socket"
                                                : "a device";
  fail(Code::kInvalidFile, "%s is %s; expected a regular file", path.c_str(), what);
}

class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  int get() const { return value_; }
  int release() {
    const int value = value_;
    value_ = -1;
    return value;
  }

 private:
  int value_;
};

}  // namespace

std::shared_ptr<const MappedFile> MappedFile::open(const std::string& path) {
  if (path.find('\0') != std::string::npos)
    fail(Code::kInvalidFile, "the path %s holds a zero byte", quote(path, 400).c_str());
  struct stat status;
  // Checked before it is opened, because opening a device can have effects; and again after, because it may have been
  // replaced.
  if (::stat(path.c_str(), &status) != 0) fail_errno(path, "open", errno);
  require_regular(path, status);
  Descriptor descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (descriptor.get() < 0) fail_errno(path, "open", errno);
  if (::fstat(descriptor.get(), &status) != 0) fail_errno(path, "open", errno);
  require_regular(path, status);
  if (static_cast<uint64_t>(status.st_size) > std::numeric_limits<size_t>::max() / 2)
    fail(Code::kInvalidFile, "%s: %lld bytes cannot be mapped on this machine", path.c_str(),
         static_cast<long long>(status.st_size));

  const Identity identity = identity_of(status);
  const auto forget = [identity](const MappedFile* ending) {
    delete ending;
    Cache& from = cache();
    std::lock_guard guard(from.mutex);
    const auto entry = from.files.find(identity);
    // Another thread may have mapped the file again since the last owner released it.
    if (entry != from.files.end() && entry->second.expired()) from.files.erase(entry);
  };
  // Declared before the lock, so that it is destroyed after the lock if the file is already mapped or cannot be mapped.
  std::shared_ptr<MappedFile> file(new MappedFile, forget);

  Cache& shared = cache();
  std::lock_guard lock(shared.mutex);
  std::weak_ptr<const MappedFile>& slot = shared.files[identity];
  if (auto present = slot.lock()) return present;
  file->path_ = path;
  if (status.st_size > 0) {
    void* mapping = ::mmap(nullptr, static_cast<size_t>(status.st_size), PROT_READ, MAP_PRIVATE, descriptor.get(), 0);
    if (mapping == MAP_FAILED) fail_errno(path, "map", errno);
    file->data_ = static_cast<const std::byte*>(mapping);
    file->size_ = static_cast<size_t>(status.st_size);
  }
  file->descriptor_ = descriptor.release();
  slot = file;
  return file;
}

std::shared_ptr<const MappedFile> MappedFile::map_again() const {
  std::shared_ptr<MappedFile> file(new MappedFile);
  file->path_ = path_;
  file->descriptor_ = ::fcntl(descriptor_, F_DUPFD_CLOEXEC, 0);
  if (file->descriptor_ < 0) fail_errno(path_, "map", errno);
  if (size_ > 0) {
    void* mapping = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, descriptor_, 0);
    if (mapping == MAP_FAILED) fail_errno(path_, "map", errno);
    file->data_ = static_cast<const std::byte*>(mapping);
    file->size_ = size_;
  }
  return file;
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
  if (descriptor_ >= 0) ::close(descriptor_);
}

bool MappedFile::intact() const {
  struct stat status;
  return ::fstat(descriptor_, &status) == 0 && static_cast<uint64_t>(status.st_size) >= size_;
}

void MappedFile::release_pages() const {
  if (data_) ::madvise(const_cast<std::byte*>(data_), size_, MADV_DONTNEED);
}

}  // namespace embedcore
