// Device memory for a test of a kernel, and the launch of one kernel with all its results.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "emulator/control.h"
#include "runtime.h"

namespace embedcore::cuda {

// A stream whose errors fail the test.
class TestStream {
 public:
  TestStream() { EXPECT_EQ(open_stream(&handle), Error::kOk); }
  ~TestStream() { close_stream(handle); }
  TestStream(const TestStream&) = delete;
  void wait() { EXPECT_EQ(wait_stream(handle), Error::kOk); }

  StreamHandle handle;
};

template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(size_t count) : count_(count) {
    void* memory = nullptr;
    EXPECT_EQ(allocate(&memory, count * sizeof(T)), Error::kOk);
    data = static_cast<T*>(memory);
  }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) { set(values); }
  ~DeviceArray() { release(data); }
  DeviceArray(const DeviceArray&) = delete;

  void set(const std::vector<T>& values) {
    void* pinned = nullptr;
    ASSERT_EQ(allocate_pinned(&pinned, count_ * sizeof(T)), Error::kOk);
    std::memcpy(pinned, values.data(), count_ * sizeof(T));
    TestStream stream;
    EXPECT_EQ(copy_to_device(data, pinned, count_ * sizeof(T), stream.handle), Error::kOk);
    stream.wait();
    release_pinned(pinned);
  }
  std::vector<T> get() const {
    void* pinned = nullptr;
    EXPECT_EQ(allocate_pinned(&pinned, count_ * sizeof(T)), Error::kOk);
    TestStream stream;
    EXPECT_EQ(copy_to_host(pinned, data, count_ * sizeof(T), stream.handle), Error::kOk);
    stream.wait();
    std::vector<T> values(count_);
    std::memcpy(values.data(), pinned, count_ * sizeof(T));
    release_pinned(pinned);
    return values;
  }

  T* data = nullptr;

 private:
  size_t count_;
};

// Launches a kernel and waits for it.
template <typename Kernel>
Error run(Grid grid, size_t shared_bytes, const typename Kernel::Args& args) {
  TestStream stream;
  const Error error = launch<Kernel>(stream.handle, grid, shared_bytes, args);
  if (error != Error::kOk) return error;
  return wait_stream(stream.handle);
}

// Changes settings for one test.
class WithSettings {
 public:
  template <typename Change>
  explicit WithSettings(Change&& change) : before_(emulator::settings()) {
    emulator::Settings now = before_;
    change(now);
    emulator::set_settings(now);
    emulator::reset_devices();
  }
  ~WithSettings() {
    emulator::set_settings(before_);
    emulator::reset_devices();
  }
  WithSettings(const WithSettings&) = delete;

 private:
  emulator::Settings before_;
};

}  // namespace embedcore::cuda
