// The host side of the CUDA backend on emulated GPUs.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "device.h"
#include "emulator/control.h"
#include "stream.h"

namespace embedcore::cuda {

// Each test sets what is emulated and has GPUs as in a new process; a GPU that a test stops is used by no other.
class HostTest : public testing::Test {
 protected:
  HostTest() {
    emulate([](emulator::Settings& settings) { settings.devices = 8; });
  }
  ~HostTest() override {
    emulator::set_settings(before_);
    emulator::reset_devices();
  }

  template <typename Change>
  void emulate(Change&& change) {
    emulator::Settings settings = emulator::settings();
    change(settings);
    emulator::set_settings(settings);
    emulator::reset_devices();
  }

 private:
  const emulator::Settings before_ = emulator::settings();
};

struct OpenedDevice {
  explicit OpenedDevice(int32_t index = 0) {
    char message[256] = "";
    device = open_device(index, message, sizeof message);
    EXPECT_NE(device, nullptr) << message;
  }
  ~OpenedDevice() { close_device(device); }
  OpenedDevice(const OpenedDevice&) = delete;
  Device* device;
};

struct OpenedStream : Stream {
  explicit OpenedStream(Device* on) {
    device = on;
    EXPECT_EQ(open_stream(*this), kOk) << message;
  }
  ~OpenedStream() { close_stream(*this); }
  OpenedStream(const OpenedStream&) = delete;
};

// x[i] += value
struct AddKernel {
  static constexpr int kThreads = 64;
  static constexpr int kMinBlocks = 1;
  static constexpr Arch kArch = Arch::kAny;
  struct Args {
    int32_t* x;
    int64_t count;
    int32_t value;
  };
  GPU static void run(const Args& args) {
    const int64_t i = static_cast<int64_t>(block_index()) * kThreads + thread_index();
    if (i < args.count) args.x[i] += args.value;
  }
};

inline Status add(Stream& stream, int32_t* x, int64_t count, int32_t value) {
  const Grid grid{static_cast<uint32_t>((count + AddKernel::kThreads - 1) / AddKernel::kThreads)};
  return report(stream, launch<AddKernel>(stream_of(stream), grid, 0, {x, count, value}), "add");
}

}  // namespace embedcore::cuda
