#include "base/safetensors_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <numeric>

#include "base/error.h"

namespace embedcore {

namespace {

constexpr int64_t kPiece = 1 << 18;  // elements

// A file that is removed unless it is finished.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& path)
      : path_(path),
        temporary_(path + ".partial"),
        file_(::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644)) {
    if (file_ < 0) refuse("created");
  }
  ~TemporaryFile() {
    if (file_ >= 0) ::close(file_);
    if (!finished_) ::unlink(temporary_.c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;

  void write(const void* from, size_t bytes) {
    const auto* at = static_cast<const char*>(from);
    while (bytes > 0) {
      const ssize_t written = ::write(file_, at, bytes);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) refuse("written");
      at += written;
      bytes -= static_cast<size_t>(written);
    }
  }

  void finish() {
    if (::fsync(file_) != 0) refuse("brought to the disk");
    const int closed = ::close(file_);
    file_ = -1;
    if (closed != 0) refuse("closed");
    if (::rename(temporary_.c_str(), path_.c_str()) != 0) refuse("renamed");
    finished_ = true;
    const std::string directory = path_.substr(0, path_.find_last_of('/') + 1);
    const int parent = ::open(directory.empty() ? "." : directory.c_str(), O_RDONLY);
    if (parent < 0) return;
    ::fsync(parent);  // the name; a system that cannot do this keeps the file itself
    ::close(parent);
  }

 private:
  [[noreturn]] void refuse(const char* what) const {
    const int reason = errno;
    fail(Code::kWriteFailed, "%s cannot be %s: %s", path_.c_str(), what, std::strerror(reason));
  }

  const std::string path_, temporary_;
  int file_ = -1;
  bool finished_ = false;
};

std::string json_string(const std::string& text) {
  std::string json = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      json += '\\';
      json += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned>(c));
      json += escaped;
    } else {
      json += c;
    }
  }
  return json += '"';
}

int64_t elements_of(const TensorToWrite& tensor) {
  return std::accumulate(tensor.shape.begin(), tensor.shape.end(), int64_t{1}, std::multiplies<>());
}

std::string header_of(std::span<const TensorToWrite> tensors, const std::map<std::string, std::string>& metadata) {
  std::string header = "{\"__metadata__\":{";
  const char* comma = "";
  for (const auto& [key, value] : metadata) {
    header += comma + json_string(key) + ":" + json_string(value);
    comma = ",";
  }
  header += "}";
  int64_t begin = 0;
  for (const TensorToWrite& tensor : tensors) {
    const int64_t end = begin + elements_of(tensor) * static_cast<int64_t>(dtype_size(tensor.dtype));
    header += "," + json_string(tensor.name) + ":{\"dtype\":\"" + safetensors_name(tensor.dtype) + "\",\"shape\":[";
    for (size_t i = 0; i < tensor.shape.size(); ++i) header += (i > 0 ? "," : "") + std::to_string(tensor.shape[i]);
    header += "],\"data_offsets\":[" + std::to_string(begin) + "," + std::to_string(end) + "]}";
    begin = end;
  }
  header += "}";
  header.resize((header.size() + 7) / 8 * 8, ' ');  // the tensors begin at a multiple of eight
  return header;
}

}  // namespace

void write_safetensors(const std::string& path, std::span<const TensorToWrite> tensors,
                       const std::map<std::string, std::string>& metadata) {
  const std::string header = header_of(tensors, metadata);
  TemporaryFile file(path);
  const auto length = static_cast<uint64_t>(header.size());
  file.write(&length, sizeof length);
  file.write(header.data(), header.size());
  std::vector<std::byte> piece;
  for (const TensorToWrite& tensor : tensors) {
    const int64_t elements = elements_of(tensor);
    for (int64_t first = 0; first < elements; first += kPiece) {
      const int64_t count = std::min(kPiece, elements - first);
      piece.resize(static_cast<size_t>(count) * dtype_size(tensor.dtype));
      tensor.read(first, count, piece.data());
      file.write(piece.data(), piece.size());
    }
  }
  file.finish();
}

}  // namespace embedcore
