#include "static/output_file.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <system_error>

#include "base/error.h"

namespace embedcore {

namespace {
std::string temporary_name(const std::string& path) {
  static std::atomic<unsigned> next{0};
  return path + "." + std::to_string(::getpid()) + "-" + std::to_string(next.fetch_add(1)) + ".partial";
}
}  // namespace

OutputFile::OutputFile(const std::string& path) : path_(path), temporary_(temporary_name(path)) {
  file_ = std::fopen(temporary_.c_str(), "wbx");
  if (!file_) fail_now("create");
  std::setvbuf(file_, nullptr, _IOFBF, size_t{1} << 20);
}

OutputFile::~OutputFile() {
  if (!file_) return;
  std::fclose(file_);
  ::unlink(temporary_.c_str());
}

void OutputFile::fail_now(const char* action) const {
  const int error = errno;
  fail(Code::kWriteFailed, "%s: cannot %s: %s (errno %d)", path_.c_str(), action,
       std::generic_category().message(error).c_str(), error);
}

void OutputFile::write(const void* bytes, size_t count) {
  if (count > 0 && std::fwrite(bytes, 1, count, file_) != count) fail_now("write");
}

void OutputFile::commit() {
  if (std::fflush(file_) != 0 || ::fsync(::fileno(file_)) != 0) fail_now("write");
  if (std::rename(temporary_.c_str(), path_.c_str()) != 0) fail_now("rename");
  std::fclose(file_);
  file_ = nullptr;
}

}  // namespace embedcore
