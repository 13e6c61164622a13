// base/mapped_file.h
#include "base/mapped_file.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>

#include "base_files.h"

namespace embedcore {
namespace {

TEST(MappedFile, ReadsWhatIsThere) {
  const TemporaryDirectory directory;
  const std::string path = directory.write("a.bin", std::string_view("ab\0cd", 5));
  const auto file = MappedFile::open(path);
  EXPECT_EQ(file->size(), 5u);
  EXPECT_EQ(file->text(), std::string_view("ab\0cd", 5));
  EXPECT_EQ(file->bytes()[4], std::byte{'d'});
  EXPECT_EQ(file->path(), path);
  EXPECT_TRUE(file->intact());
  file->release_pages();
  EXPECT_EQ(file->text(), std::string_view("ab\0cd", 5));
}

TEST(MappedFile, EmptyFilesAreEmpty) {
  const TemporaryDirectory directory;
  const auto file = MappedFile::open(directory.write("empty", ""));
  EXPECT_EQ(file->size(), 0u);
  EXPECT_TRUE(file->text().empty());
  EXPECT_TRUE(file->intact());
  file->release_pages();
}

TEST(MappedFile, TheSameFileIsMappedOnce) {
  const TemporaryDirectory directory;
  const std::string path = directory.write("a.bin", "content");
  ASSERT_EQ(::symlink(path.c_str(), (directory / "link").c_str()), 0);
  auto first = MappedFile::open(path);
  EXPECT_EQ(MappedFile::open(path), first);
  EXPECT_EQ(MappedFile::open(directory / "link"), first);
  EXPECT_EQ(MappedFile::open(directory.path() + "/./a.bin"), first);
  const std::weak_ptr<const MappedFile> watch = first;
  first.reset();
  EXPECT_TRUE(watch.expired());
  EXPECT_EQ(MappedFile::open(path)->text(), "content");
}

TEST(MappedFile, AnotherFileOfTheSameNameIsAnotherMapping) {
  const TemporaryDirectory directory;
  const std::string path = directory.write("a.bin", "old content");
  const auto old = MappedFile::open(path);
  std::filesystem::rename(directory.write("new", "NEW content"), path);
  const auto now = MappedFile::open(path);
  EXPECT_NE(now, old);
  EXPECT_EQ(now->text(), "NEW content");
  // A mapping of the old file stays intact.
  EXPECT_EQ(old->text(), "old content");
  EXPECT_TRUE(old->intact());
  std::filesystem::remove(path);
  EXPECT_EQ(now->text(), "NEW content");
}

TEST(MappedFile, TellsWhenItWasTruncated) {
  const TemporaryDirectory directory;
  const std::string path = directory.write("a.bin", std::string(10000, 'x'));
  const auto file = MappedFile::open(path);
  std::filesystem::resize_file(path, 9999);
  EXPECT_FALSE(file->intact());
  std::filesystem::resize_file(path, 20000);
  EXPECT_TRUE(file->intact());
  EXPECT_EQ(MappedFile::open(path)->size(), 20000u);
}

TEST(MappedFile, RefusesWhatIsNoFile) {
  const TemporaryDirectory directory;
  const std::string missing = directory / "missing", pipe = directory / "pipe", loop = directory / "loop",
                    dangling = directory / "dangling", socket = directory / "socket";
  expect_error(Code::kNotFound, {missing, "No such file", "errno 2"}, [&] { MappedFile::open(missing); });
  expect_error(Code::kNotFound, {"Not a directory"},
               [&] { MappedFile::open(directory.write("file", "x") + "/below"); });
  expect_error(Code::kNotFound, {"No such file"}, [] { MappedFile::open(""); });
  expect_error(Code::kInvalidFile, {directory.path(), "is a directory"}, [&] { MappedFile::open(directory.path()); });
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  // Nobody writes to the pipe: an open that waited would hang here.
  expect_error(Code::kInvalidFile, {"is a pipe"}, [&] { MappedFile::open(pipe); });
  expect_error(Code::kInvalidFile, {"/dev/zero is a device"}, [] { MappedFile::open("/dev/zero"); });
  ASSERT_EQ(::symlink(loop.c_str(), loop.c_str()), 0);
  expect_error(Code::kInvalidFile, {"symbolic links"}, [&] { MappedFile::open(loop); });
  ASSERT_EQ(::symlink(missing.c_str(), dangling.c_str()), 0);
  expect_error(Code::kNotFound, {"No such file"}, [&] { MappedFile::open(dangling); });
  expect_error(Code::kInvalidFile, {"name too long"}, [&] { MappedFile::open(directory / std::string(5000, 'n')); });
  expect_error(Code::kInvalidFile, {"zero byte", "a\\x00b"}, [] { MappedFile::open(std::string("a\0b", 3)); });

  const int listener = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  ASSERT_LT(socket.size(), sizeof address.sun_path);
  std::memcpy(address.sun_path, socket.c_str(), socket.size() + 1);
  ASSERT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  expect_error(Code::kInvalidFile, {"is a socket"}, [&] { MappedFile::open(socket); });
  ::close(listener);

  if (::geteuid() != 0) {
    const std::string secret = directory.write("secret", "x");
    std::filesystem::permissions(secret, std::filesystem::perms::none);
    expect_error(Code::kInvalidFile, {"Permission denied"}, [&] { MappedFile::open(secret); });
  }
}

size_t open_descriptors() {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

TEST(MappedFile, ManyThreadsShareAndLeakNothing) {
  if (!std::filesystem::exists("/proc/self/fd")) GTEST_SKIP() << "no /proc on this system";
  const TemporaryDirectory directory;
  const std::string path = directory.write("a.bin", std::string(5000, 'x'));
  const size_t before = open_descriptors();
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) {
        const auto file = MappedFile::open(path);
        if (file->size() != 5000 || file->bytes()[4999] != std::byte{'x'}) ++wrong;
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
  for (int i = 0; i < 50; ++i) EXPECT_THROW(MappedFile::open(directory.path()), Error);
  EXPECT_EQ(open_descriptors(), before);
}

}  // namespace
}  // namespace embedcore
