#include "static/token_store.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "base/error.h"

namespace embedcore {

TokenStore::TokenStore(const std::string& directory) : directory_(directory) {
  std::string name = directory + "/embedcore-tokens-XXXXXX";
  file_ = ::mkstemp(name.data());
  if (file_ < 0) fail_now("create a temporary file");
  ::unlink(name.c_str());
  ::fcntl(file_, F_SETFD, FD_CLOEXEC);
  buffer_.reserve(kBuffered);
}

TokenStore::~TokenStore() {
  if (mapped_) ::munmap(const_cast<int32_t*>(mapped_), static_cast<size_t>(written_) * sizeof(int32_t));
  if (file_ >= 0) ::close(file_);
}

void TokenStore::fail_now(const char* action) const {
  const int error = errno;
  fail(Code::kWriteFailed, "%s: cannot %s: %s (errno %d)", directory_.c_str(), action,
       std::generic_category().message(error).c_str(), error);
}

void TokenStore::flush() {
  const char* from = reinterpret_cast<const char*>(buffer_.data());
  size_t left = buffer_.size() * sizeof(int32_t);
  while (left > 0) {
    const ssize_t done = ::write(file_, from, left);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) fail_now("write a temporary file");
    from += done;
    left -= static_cast<size_t>(done);
  }
  written_ += static_cast<int64_t>(buffer_.size());
  buffer_.clear();
}

std::span<const int32_t> TokenStore::finish() {
  flush();
  std::vector<int32_t>().swap(buffer_);
  if (written_ > 0 && !mapped_) {
    void* const mapped =
        ::mmap(nullptr, static_cast<size_t>(written_) * sizeof(int32_t), PROT_READ, MAP_SHARED, file_, 0);
    if (mapped == MAP_FAILED) fail_now("map a temporary file");
    mapped_ = static_cast<const int32_t*>(mapped);
  }
  return tokens();
}

}  // namespace embedcore
