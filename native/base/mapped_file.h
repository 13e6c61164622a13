// A file mapped read-only. Opening the same file twice in the process (device, inode, size and time of change equal)
// gives the same mapping; it ends with its last owner. Any thread may open, read and let go.
//
// A file that somebody truncates in place while it is mapped cannot be read safely: touching a page after the new end
// raises SIGBUS, for any program. What is done about it:
// - Only regular files are mapped, and only as many bytes as the file had when it was opened.
// - Matrices are converted into packed memory once, right after open; afterwards only embedding tables are read from
// the
//   mapping. intact() tells cheaply (one fstat) whether the file still has its bytes; ask it before a run of reads.
// - Replacing a file by rename, as downloaders and savers do, leaves the mapping whole: it keeps the old inode.
// A process that must live beside writers who truncate in place should load a copy of the directory.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace embedcore {

class MappedFile {
 public:
  // Throws kNotFound where nothing is there; kInvalidFile for directories, pipes, sockets and devices (never waits for
  // one), and where the system refuses; kOutOfMemory where no address space is left.
  static std::shared_ptr<const MappedFile> open(const std::string& path);

  // A second mapping of the same file, whatever has its name now. Its pages come and go without touching this one's:
  // for reading a file once while others serve from it.
  std::shared_ptr<const MappedFile> map_again() const;

  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  // Null where the file is empty.
  const std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }
  const std::string& path() const { return path_; }

  // The file still has at least the bytes that were mapped.
  bool intact() const;
  // Gives the resident pages back; they are read again when touched. For use after weights were converted.
  void release_pages() const;

 private:
  MappedFile() = default;

  std::string path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  int descriptor_ = -1;
};

}  // namespace embedcore
