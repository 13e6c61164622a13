// runtime.h in the emulator: memory that only emulated work touches, streams that run late, events, graphs, errors.
#include <gtest/gtest.h>

#include "device_array.h"

namespace embedcore::cuda {

namespace {

struct AddKernel {
  static constexpr int kThreads = 32;
  static constexpr int kMinBlocks = 1;
  static constexpr Arch kArch = Arch::kAny;
  struct Args {
    uint32_t* at;
    uint32_t value;
  };
  GPU static void run(const Args& args) {
    if (thread_index() == 0) *args.at = *args.at + args.value;
  }
};
template <Arch kNeeded>
struct EmptyKernel {
  static constexpr int kThreads = 32;
  static constexpr int kMinBlocks = 1;
  static constexpr Arch kArch = kNeeded;
  struct Args {};
  GPU static void run(const Args&) {}
};

class Pinned {
 public:
  explicit Pinned(uint32_t value) {
    void* memory = nullptr;
    EXPECT_EQ(allocate_pinned(&memory, 4), Error::kOk);
    word = static_cast<uint32_t*>(memory);
    *word = value;
  }
  ~Pinned() { release_pinned(word); }
  Pinned(const Pinned&) = delete;
  uint32_t* word = nullptr;
};

// No report of another test is left, and this one leaves none.
class Runtime : public testing::Test {
 protected:
  void SetUp() override { emulator::take_reports(); }
  void TearDown() override { EXPECT_EQ(emulator::take_reports(), std::vector<std::string>{}); }
};

TEST_F(Runtime, MemoryIsPoisonedAndLimited) {
  const WithSettings with([](emulator::Settings& settings) { settings.memory = 1 << 20; });
  size_t free_bytes = 0, total_bytes = 0;
  {
    const DeviceArray<uint16_t> fresh(1001);
    for (const uint16_t value : fresh.get()) EXPECT_EQ(value, 0x7fa5);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(fresh.data) % 256, 0u);
    ASSERT_EQ(memory_info(0, &free_bytes, &total_bytes), Error::kOk);
    EXPECT_EQ(total_bytes, 1u << 20);
    EXPECT_EQ(free_bytes, (1u << 20) - 2002);
    void* memory = nullptr;
    EXPECT_EQ(allocate(&memory, 1 << 20), Error::kOutOfMemory);
    EXPECT_EQ(memory, nullptr);
    EXPECT_FALSE(is_sticky(Error::kOutOfMemory));
    EXPECT_EQ(allocate(&memory, (1 << 20) - 2002), Error::kOk);
    EXPECT_EQ(release(memory), Error::kOk);
  }
  ASSERT_EQ(memory_info(0, &free_bytes, &total_bytes), Error::kOk);
  EXPECT_EQ(free_bytes, total_bytes);
  uint32_t host = 0;
  EXPECT_EQ(release(&host), Error::kInvalidValue);
}

TEST_F(Runtime, TheHostCannotTouchDeviceMemory) {
  const DeviceArray<uint32_t> array(std::vector<uint32_t>{1});
  EXPECT_DEATH({ *static_cast<volatile uint32_t*>(array.data) = 2; }, "the host touched device memory");
  EXPECT_EQ(array.get()[0], 1u);
}

TEST_F(Runtime, WorkRunsWhenItIsWaitedFor) {
  DeviceArray<uint32_t> array(1);
  Pinned in(5), out(0);
  TestStream stream;
  ASSERT_EQ(copy_to_device(array.data, in.word, 4, stream.handle), Error::kOk);
  *in.word = 7;  // too early for the copy, which is what a device may see as well
  ASSERT_EQ(launch<AddKernel>(stream.handle, Grid{}, 0, {array.data, 10}), Error::kOk);
  ASSERT_EQ(copy_to_host(out.word, array.data, 4, stream.handle), Error::kOk);
  EXPECT_EQ(*out.word, 0u);
  bool done = true;
  ASSERT_EQ(query_stream(stream.handle, &done), Error::kOk);
  EXPECT_FALSE(done);
  ASSERT_EQ(query_stream(stream.handle, &done), Error::kOk);
  EXPECT_TRUE(done);
  EXPECT_EQ(*out.word, 17u);
}

TEST_F(Runtime, CopiesBetweenAndFills) {
  DeviceArray<uint32_t> from(std::vector<uint32_t>{1, 2, 3}), to(3);
  TestStream stream;
  ASSERT_EQ(fill(to.data, 0x11, 12, stream.handle), Error::kOk);
  ASSERT_EQ(copy_on_device(to.data, from.data + 1, 8, stream.handle), Error::kOk);
  stream.wait();
  EXPECT_EQ(to.get(), (std::vector<uint32_t>{2, 3, 0x11111111u}));
}

TEST_F(Runtime, StreamsAreOrderedByEventsAlone) {
  DeviceArray<uint32_t> array(std::vector<uint32_t>{1});
  Pinned out(0), early(0);
  TestStream first, second;
  EventHandle event;
  ASSERT_EQ(open_event(&event), Error::kOk);
  bool done = false;
  ASSERT_EQ(query_event(event, &done), Error::kOk);
  EXPECT_TRUE(done);  // never recorded
  ASSERT_EQ(launch<AddKernel>(first.handle, Grid{}, 0, {array.data, 10}), Error::kOk);
  // Without a wait, the second stream reads before the first one has written.
  ASSERT_EQ(copy_to_host(early.word, array.data, 4, second.handle), Error::kOk);
  second.wait();
  EXPECT_EQ(*early.word, 1u);
  ASSERT_EQ(record(event, first.handle), Error::kOk);
  ASSERT_EQ(launch<AddKernel>(first.handle, Grid{}, 0, {array.data, 100}), Error::kOk);
  ASSERT_EQ(stream_waits(second.handle, event), Error::kOk);
  ASSERT_EQ(copy_to_host(out.word, array.data, 4, second.handle), Error::kOk);
  second.wait();
  EXPECT_EQ(*out.word, 11u);
  ASSERT_EQ(query_event(event, &done), Error::kOk);
  EXPECT_TRUE(done);
  ASSERT_EQ(record(event, first.handle), Error::kOk);
  ASSERT_EQ(query_event(event, &done), Error::kOk);
  EXPECT_FALSE(done);
  ASSERT_EQ(wait_event(event), Error::kOk);
  EXPECT_EQ(array.get()[0], 111u);
  EXPECT_EQ(close_event(event), Error::kOk);
}

TEST_F(Runtime, GraphsReplayWhatWasRecorded) {
  DeviceArray<uint32_t> array(std::vector<uint32_t>{0});
  Pinned in(1);
  TestStream stream;
  ASSERT_EQ(begin_capture(stream.handle), Error::kOk);
  ASSERT_EQ(copy_to_device(array.data, in.word, 4, stream.handle), Error::kOk);
  ASSERT_EQ(launch<AddKernel>(stream.handle, Grid{}, 0, {array.data, 10}), Error::kOk);
  GraphHandle graph;
  ASSERT_EQ(end_capture(stream.handle, &graph), Error::kOk);
  stream.wait();
  EXPECT_EQ(array.get()[0], 0u);
  ASSERT_EQ(launch_graph(graph, stream.handle), Error::kOk);
  ASSERT_EQ(launch<AddKernel>(stream.handle, Grid{}, 0, {array.data, 100}), Error::kOk);
  stream.wait();
  EXPECT_EQ(array.get()[0], 111u);
  *in.word = 2;
  ASSERT_EQ(launch_graph(graph, stream.handle), Error::kOk);
  ASSERT_EQ(close_graph(graph), Error::kOk);  // the launch keeps what it needs
  stream.wait();
  EXPECT_EQ(array.get()[0], 12u);
}

TEST_F(Runtime, WaitingInsideACaptureEndsIt) {
  TestStream stream;
  ASSERT_EQ(begin_capture(stream.handle), Error::kOk);
  EXPECT_EQ(error_name(wait_stream(stream.handle)), std::string("cudaErrorStreamCaptureUnsupported"));
  GraphHandle graph;
  EXPECT_EQ(error_name(end_capture(stream.handle, &graph)), std::string("cudaErrorStreamCaptureInvalidated"));
  EXPECT_EQ(graph.graph, nullptr);
}

TEST_F(Runtime, CopiesNeedPinnedMemoryAndRoom) {
  DeviceArray<uint32_t> array(std::vector<uint32_t>{1});
  TestStream stream;
  uint32_t pageable = 0;
  Pinned in(1);
  EXPECT_EQ(copy_to_device(array.data, &pageable, 4, stream.handle), Error::kInvalidValue);
  EXPECT_EQ(copy_to_device(array.data + 1, in.word, 4, stream.handle), Error::kInvalidValue);
  EXPECT_EQ(copy_to_host(&pageable, array.data, 4, stream.handle), Error::kInvalidValue);
  EXPECT_EQ(fill(array.data, 0, 5, stream.handle), Error::kInvalidValue);
  const auto reports = emulator::take_reports();
  ASSERT_EQ(reports.size(), 4u);
  EXPECT_NE(reports[0].find("not pinned"), std::string::npos);
  EXPECT_NE(reports[1].find("not within one allocation"), std::string::npos);
}

TEST_F(Runtime, KernelsOfOtherArchitecturesAreRefused) {
  struct Case {
    int architecture;
    bool sm80, sm90, sm90a;
  };
  for (const Case& one : {Case{75, false, false, false}, Case{80, true, false, false}, Case{89, true, false, false},
                          Case{90, true, true, true}, Case{100, true, true, false}}) {
    const WithSettings with([&](emulator::Settings& settings) { settings.architecture = one.architecture; });
    TestStream stream;
    auto expected = [](bool runs) { return runs ? Error::kOk : Error::kNoKernelImage; };
    EXPECT_EQ(launch<EmptyKernel<Arch::kSm75>>(stream.handle, Grid{}, 0, {}), Error::kOk);
    EXPECT_EQ(launch<EmptyKernel<Arch::kSm80>>(stream.handle, Grid{}, 0, {}), expected(one.sm80));
    EXPECT_EQ(launch<EmptyKernel<Arch::kSm90>>(stream.handle, Grid{}, 0, {}), expected(one.sm90));
    EXPECT_EQ(launch<EmptyKernel<Arch::kSm90a>>(stream.handle, Grid{}, 0, {}), expected(one.sm90a));
    Properties properties;
    ASSERT_EQ(device_properties(0, &properties), Error::kOk);
    EXPECT_EQ(properties.major * 10 + properties.minor, one.architecture);
    const auto shared = static_cast<size_t>(properties.shared_bytes_per_block);
    EXPECT_EQ(launch<EmptyKernel<Arch::kAny>>(stream.handle, Grid{}, shared, {}), Error::kOk);
    EXPECT_EQ(launch<EmptyKernel<Arch::kAny>>(stream.handle, Grid{}, shared + 1, {}), Error::kInvalidValue);
    EXPECT_NE(launch<EmptyKernel<Arch::kAny>>(stream.handle, Grid{.x = 1, .y = 70000}, 0, {}), Error::kOk);
  }
}

TEST_F(Runtime, Devices) {
  int count = -1;
  {
    const WithSettings with([](emulator::Settings& settings) { settings.driver = 0; });
    EXPECT_EQ(device_count(&count), Error::kDriverTooOld);
    EXPECT_EQ(count, 0);
  }
  {
    const WithSettings with([](emulator::Settings& settings) { settings.devices = 0; });
    EXPECT_EQ(device_count(&count), Error::kNoDevice);
  }
  const WithSettings with([](emulator::Settings& settings) { settings.devices = 2; });
  ASSERT_EQ(device_count(&count), Error::kOk);
  EXPECT_EQ(count, 2);
  EXPECT_EQ(set_device(2), Error::kInvalidDevice);
  ASSERT_EQ(set_device(1), Error::kOk);
  void* memory = nullptr;
  ASSERT_EQ(allocate(&memory, 4), Error::kOk);
  ASSERT_EQ(set_device(0), Error::kOk);
  TestStream stream;
  EXPECT_EQ(fill(memory, 0, 4, stream.handle), Error::kInvalidValue);  // memory of the other device
  EXPECT_EQ(emulator::take_reports().size(), 1u);
  EXPECT_EQ(release(memory), Error::kOk);
}

TEST_F(Runtime, InjectedFaultsStick) {
  const WithSettings with([](emulator::Settings& settings) {
    settings.fault = {.what = emulator::Fault::What::kIllegalAddress, .after = 2};
  });
  DeviceArray<uint32_t> array(std::vector<uint32_t>{0});
  TestStream stream;
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(launch<AddKernel>(stream.handle, Grid{}, 0, {array.data, 1}), Error::kOk);
    ASSERT_EQ(wait_stream(stream.handle), Error::kOk);
  }
  ASSERT_EQ(launch<AddKernel>(stream.handle, Grid{}, 0, {array.data, 1}), Error::kOk);
  EXPECT_EQ(wait_stream(stream.handle), Error::kIllegalAddress);
  EXPECT_TRUE(is_sticky(Error::kIllegalAddress));
  EXPECT_EQ(wait_stream(stream.handle), Error::kIllegalAddress);
  EXPECT_EQ(launch<AddKernel>(stream.handle, Grid{}, 0, {array.data, 1}), Error::kIllegalAddress);
  void* memory = nullptr;
  EXPECT_EQ(allocate(&memory, 4), Error::kIllegalAddress);
  StreamHandle other;
  EXPECT_EQ(open_stream(&other), Error::kIllegalAddress);
}

TEST_F(Runtime, InjectedFailureOfAllocations) {
  const WithSettings with([](emulator::Settings& settings) {
    settings.fault = {.what = emulator::Fault::What::kOutOfMemory, .in_allocations = true, .after = 1};
  });
  void *first = nullptr, *second = nullptr;
  EXPECT_EQ(allocate(&first, 4), Error::kOk);
  EXPECT_EQ(allocate(&second, 4), Error::kOutOfMemory);
  EXPECT_EQ(release(first), Error::kOk);
}

TEST_F(Runtime, SettingsOfTheEnvironment) {
  ::setenv("EMBEDCORE_EMULATED_FAULT", "launch-failed after 3 launches", 1);
  ::setenv("EMBEDCORE_EMULATED_MEMORY", "24M", 1);
  ::setenv("EMBEDCORE_EMULATED_ARCH", "86", 1);
  const emulator::Settings settings = emulator::settings_of_environment();
  ::unsetenv("EMBEDCORE_EMULATED_FAULT");
  ::unsetenv("EMBEDCORE_EMULATED_MEMORY");
  EXPECT_EQ(settings.fault.what, emulator::Fault::What::kLaunchFailed);
  EXPECT_EQ(settings.fault.after, 3);
  EXPECT_FALSE(settings.fault.in_allocations);
  EXPECT_EQ(settings.memory, 24u << 20);
  EXPECT_EQ(settings.architecture, 86);
  ::setenv("EMBEDCORE_EMULATED_ARCH", "70", 1);
  EXPECT_EXIT(emulator::settings_of_environment(), testing::ExitedWithCode(2), "EMBEDCORE_EMULATED_ARCH");
  ::unsetenv("EMBEDCORE_EMULATED_ARCH");
}

}  // namespace

}  // namespace embedcore::cuda
