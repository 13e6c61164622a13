#include <numeric>
#include <thread>

#include "host_support.h"

namespace embedcore::cuda {
namespace {

std::string reason(int32_t index = 0) {
  DeviceInfo info;
  describe_device(index, &info);
  return info.reason;
}

std::vector<int32_t> counted(size_t count) {
  std::vector<int32_t> values(count);
  std::iota(values.begin(), values.end(), 0);
  return values;
}

// Uploads, adds and downloads; the result is checked.
void round_trip(Device* device, size_t count, int32_t value) {
  OpenedStream stream(device);
  const std::vector<int32_t> from = counted(count);
  std::vector<int32_t> to(count);
  auto* x = static_cast<int32_t*>(allocate(device, count * sizeof(int32_t)));
  ASSERT_NE(x, nullptr);
  ASSERT_EQ(upload(stream, x, from.data(), count * sizeof(int32_t)), kOk) << stream.message;
  ASSERT_EQ(add(stream, x, static_cast<int64_t>(count), value), kOk) << stream.message;
  ASSERT_EQ(download(stream, to.data(), x, count * sizeof(int32_t)), kOk) << stream.message;
  ASSERT_EQ(wait(stream), kOk) << stream.message;
  release(device, x);
  for (size_t i = 0; i < count; ++i) ASSERT_EQ(to[i], from[i] + value) << i;
}

// --- which devices there are ---

class Describe : public HostTest {};

TEST_F(Describe, AUsableDevice) {
  DeviceInfo info;
  ASSERT_EQ(describe_device(1, &info), kOk);
  EXPECT_STREQ(info.reason, "");
  EXPECT_EQ(info.compute_capability, 80);
  EXPECT_EQ(info.memory_bytes, int64_t{16} << 30);
  EXPECT_GT(info.free_bytes, 0);
  EXPECT_STREQ(info.driver, "CUDA 13.0");
  EXPECT_EQ(count_devices(), 8);
}

TEST_F(Describe, NoDriver) {
  emulate([](emulator::Settings& settings) { settings.driver = 0; });
  EXPECT_EQ(count_devices(), 0);
  EXPECT_NE(reason().find("there is no NVIDIA driver: install driver 580 or newer"), std::string::npos) << reason();
}

TEST_F(Describe, AnOldDriver) {
  emulate([](emulator::Settings& settings) { settings.driver = 12040; });
  EXPECT_EQ(count_devices(), 0);
  EXPECT_NE(reason().find("(CUDA 12.4) is too old"), std::string::npos) << reason();
  EXPECT_NE(reason().find("install driver 580 or newer"), std::string::npos) << reason();
}

TEST_F(Describe, NoDevice) {
  emulate([](emulator::Settings& settings) { settings.devices = 0; });
  EXPECT_EQ(count_devices(), 0);
  EXPECT_NE(reason().find("CUDA_VISIBLE_DEVICES is not set"), std::string::npos) << reason();
}

TEST_F(Describe, ANumberThatIsNotThere) {
  DeviceInfo info;
  EXPECT_EQ(describe_device(8, &info), kBadArgument);
  EXPECT_STREQ(info.reason, "there is no GPU 8: this process sees 8, numbered from 0");
  char message[256] = "";
  EXPECT_EQ(open_device(-1, message, sizeof message), nullptr);
  EXPECT_STREQ(message, "there is no GPU -1: this process sees 8, numbered from 0");
}

// --- memory and copies ---

class Copies : public HostTest {};

TEST_F(Copies, OfAllSizes) {
  const OpenedDevice opened;
  // More than all staging memory of a stream, and not a whole number of its pieces.
  for (const size_t count : {size_t{1}, size_t{1000}, size_t{300000}, (size_t{70} << 18) + 5})
    round_trip(opened.device, count, 3);
}

TEST_F(Copies, OfNothing) {
  const OpenedDevice opened;
  OpenedStream stream(opened.device);
  EXPECT_EQ(upload(stream, nullptr, nullptr, 0), kOk);
  EXPECT_EQ(download(stream, nullptr, nullptr, 0), kOk);
  EXPECT_EQ(wait(stream), kOk);
}

TEST_F(Copies, ADownloadIsThereAfterTheWait) {
  const OpenedDevice opened;
  OpenedStream stream(opened.device);
  auto* x = static_cast<int32_t*>(allocate(opened.device, 8));
  const int32_t from[2] = {5, 6};
  int32_t to[2] = {};
  ASSERT_EQ(upload(stream, x, from, sizeof from), kOk);
  ASSERT_EQ(download(stream, to, x, sizeof to), kOk);
  EXPECT_EQ(to[0], 0);
  ASSERT_EQ(wait(stream), kOk);
  EXPECT_EQ(to[0], 5);
  EXPECT_EQ(to[1], 6);
  release(opened.device, x);
}

TEST_F(Copies, SeveralDevicesOnOneThread) {
  const OpenedDevice first(1), second(2);
  OpenedStream a(first.device), b(second.device);
  auto* x = static_cast<int32_t*>(allocate(first.device, 4096));
  auto* y = static_cast<int32_t*>(allocate(second.device, 4096));
  const std::vector<int32_t> from = counted(1024);
  std::vector<int32_t> from_x(1024), from_y(1024);
  ASSERT_EQ(upload(a, x, from.data(), 4096), kOk);
  ASSERT_EQ(upload(b, y, from.data(), 4096), kOk);
  ASSERT_EQ(add(a, x, 1024, 1), kOk);
  ASSERT_EQ(add(b, y, 1024, 2), kOk);
  ASSERT_EQ(download(a, from_x.data(), x, 4096), kOk);
  ASSERT_EQ(download(b, from_y.data(), y, 4096), kOk);
  ASSERT_EQ(wait(a), kOk);
  ASSERT_EQ(wait(b), kOk);
  EXPECT_EQ(from_x[10], 11);
  EXPECT_EQ(from_y[10], 12);
  release(first.device, x);
  release(second.device, y);
}

TEST_F(Copies, SeveralStreamsOnSeveralThreads) {
  const OpenedDevice first(0), second(1);
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i)
    threads.emplace_back([&, i] {
      for (int round = 0; round < 10; ++round)
        round_trip(i % 2 ? first.device : second.device, 1000 + static_cast<size_t>(round) * 700, i);
    });
  for (std::thread& thread : threads) thread.join();
}

TEST_F(Copies, ScratchIsTheSameForEachOperationAndGrows) {
  const OpenedDevice opened;
  OpenedStream stream(opened.device);
  void* small = scratch(stream, 1000);
  EXPECT_EQ(scratch(stream, 500), small);
  // Work that was launched may still use the old one.
  const std::vector<int32_t> from(250, 1);
  ASSERT_EQ(upload(stream, small, from.data(), 1000), kOk);
  void* large = scratch(stream, 1 << 20);
  EXPECT_NE(large, small);
  ASSERT_EQ(wait(stream), kOk) << stream.message;
  EXPECT_EQ(scratch(stream, 1 << 20), large);
}

TEST_F(Copies, ClosingGivesTheMemoryBack) {
  DeviceInfo before, after;
  describe_device(3, &before);
  {
    const OpenedDevice opened(3);
    for (int i = 0; i < 50; ++i) allocate(opened.device, 100000);
    OpenedStream stream(opened.device);
    scratch(stream, 100000);
    describe_device(3, &after);
    EXPECT_LT(after.free_bytes, before.free_bytes);
  }
  describe_device(3, &after);
  EXPECT_EQ(after.free_bytes, before.free_bytes);
}

// --- failures ---

class Failures : public HostTest {};

TEST_F(Failures, OutOfMemoryPasses) {
  emulate([](emulator::Settings& settings) { settings.memory = size_t{1} << 20; });
  const OpenedDevice opened;
  EXPECT_EQ(allocate(opened.device, size_t{2} << 20), nullptr);
  OpenedStream stream(opened.device);
  EXPECT_EQ(scratch(stream, size_t{2} << 20), nullptr);
  EXPECT_STREQ(stream.message, "scratch memory: GPU 0 is out of memory");
  round_trip(opened.device, 1000, 1);
}

TEST_F(Failures, AFullDeviceIsDescribed) {
  emulate([](emulator::Settings& settings) { settings.fault = {emulator::Fault::What::kOutOfMemory, true, 0}; });
  const OpenedDevice opened;
  EXPECT_EQ(allocate(opened.device, 1), nullptr);
}

// After a fault nothing of this GPU can be used, and it says so; other GPUs go on.
void stopped_by(int32_t index, emulator::Fault::What what, const char* name) {
  OpenedDevice opened(index), other(0);
  OpenedStream stream(opened.device), second(opened.device);
  auto* x = static_cast<int32_t*>(allocate(opened.device, 4000));
  emulator::Settings settings = emulator::settings();
  settings.fault = {what, false, 0};
  emulator::set_settings(settings);
  Status status = add(stream, x, 1000, 1);
  if (status == kOk) status = wait(stream);
  settings.fault = {};
  emulator::set_settings(settings);

  EXPECT_EQ(status, kDeviceFailed);
  const std::string expected = "GPU " + std::to_string(index) + " cannot be used until this process is restarted: ";
  EXPECT_EQ(std::string(stream.message).find(expected), 0u) << stream.message;
  EXPECT_NE(std::string(stream.message).find(name), std::string::npos) << stream.message;

  int32_t value = 0;
  EXPECT_EQ(upload(second, x, &value, 4), kDeviceFailed);
  EXPECT_STREQ(second.message, stream.message);
  EXPECT_EQ(download(second, &value, x, 4), kDeviceFailed);
  EXPECT_EQ(wait(second), kDeviceFailed);
  EXPECT_EQ(add(second, x, 1000, 1), kDeviceFailed);
  EXPECT_EQ(allocate(opened.device, 8), nullptr);
  Stream third;
  third.device = opened.device;
  EXPECT_EQ(open_stream(third), kDeviceFailed);
  release(opened.device, x);
  EXPECT_EQ(reason(index).find(expected), 0u) << reason(index);
  char message[256] = "";
  EXPECT_EQ(open_device(index, message, sizeof message), nullptr);
  EXPECT_EQ(std::string(message).find(expected), 0u) << message;

  round_trip(other.device, 1000, 1);
}

TEST_F(Failures, AnIllegalAddressStopsItsDevice) {
  stopped_by(6, emulator::Fault::What::kIllegalAddress, "cudaErrorIllegalAddress");
}

TEST_F(Failures, AFailedLaunchStopsItsDevice) {
  stopped_by(7, emulator::Fault::What::kLaunchFailed, "cudaErrorLaunchFailure");
}

}  // namespace
}  // namespace embedcore::cuda
