// A file mapped read-only. Opening the same file twice in the process (device, inode, size and time of change equal)
// gives the same mapping, which ends with its last owner. Any thread may open, read and release it.
//
// A file that somebody truncates in place while it is mapped cannot be read safely: touching a page after the new end
// raises SIGBUS, in any program. The precautions are:
// - Only regular files are mapped, and only as many bytes as the file had when it was opened.
// - Matrices are converted into packed memory once, right after open; afterwards only embedding tables are read from
//   the mapping. intact() checks cheaply (one fstat) that the file still has its bytes; call it before a run of reads.
// - Replacing a file by rename, as downloaders and savers do, does not affect the mapping, which keeps the old inode.
// A process whose files may be truncated in place should load a copy of the directory.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace embedcore {

class MappedFile {
 public:
  // Throws kNotFound if the file does not exist; kInvalidFile for directories, pipes, sockets and devices (without
  // waiting for one), and if the system refuses; kOutOfMemory if no address space is left.
  static std::shared_ptr<const MappedFile> open(const std::string& path);

  // A second mapping of the same file, even if its name now belongs to another file. Its resident pages are independent
  // of this one's: for reading a file once while others serve from it.
  std::shared_ptr<const MappedFile> map_again() const;

  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  // Null if the file is empty.
  const std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }
  const std::string& path() const { return path_; }

  // Whether the file still has at least the bytes that were mapped.
  bool intact() const;
  // Releases the resident pages; they are read again when touched. For use after weights were converted.
  void release_pages() const;

 private:
  MappedFile() = default;

  std::string path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  int descriptor_ = -1;
};

}  // namespace embedcore
