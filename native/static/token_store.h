// The corpus as numbers of words, in an unnamed temporary file: 4 bytes a token, so its size is bounded by the disk and
// not by memory, and every epoch reads it alike, whatever the corpus came from.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace embedcore {

class TokenStore {
 public:
  static constexpr int32_t kEndOfSentence = -1, kUnknown = -2;

  // The file is in this directory and has no name there. Throws Error(kWriteFailed).
  explicit TokenStore(const std::string& directory);
  ~TokenStore();
  TokenStore(const TokenStore&) = delete;
  TokenStore& operator=(const TokenStore&) = delete;

  void add(int32_t token) {
    buffer_.push_back(token);
    if (buffer_.size() == kBuffered) flush();
  }
  int64_t size() const { return written_ + static_cast<int64_t>(buffer_.size()); }
  // Maps the file; nothing is added afterwards.
  std::span<const int32_t> finish();
  std::span<const int32_t> tokens() const { return {mapped_, static_cast<size_t>(written_)}; }

 private:
  static constexpr size_t kBuffered = 1 << 18;
  void flush();
  [[noreturn]] void fail_now(const char* action) const;

  const std::string directory_;
  int file_ = -1;
  std::vector<int32_t> buffer_;
  int64_t written_ = 0;
  const int32_t* mapped_ = nullptr;
};

}  // namespace embedcore
