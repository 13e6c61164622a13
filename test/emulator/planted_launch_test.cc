// Planted bugs between launches: kernels that overlap, memory that was released, memory that is never released.
#include "planted.h"

#ifdef EMBEDCORE_EMULATED_CHECKED

namespace embedcore::cuda {

namespace {

struct AddArgs {
  const uint32_t* in;
  uint32_t* out;
};
template <bool kWaits>
struct AddOneKernel {
  static constexpr int kThreads = 32;
  static constexpr int kMinBlocks = 1;
  static constexpr Arch kArch = Arch::kAny;
  using Args = AddArgs;
  GPU static void run(const Args& args) {
    if (kWaits) wait_for_previous_kernel();
    args.out[thread_index()] = args.in[thread_index()] + 1;
    allow_next_kernel();
  }
};

class PlantedLaunch : public testing::Test {
 protected:
  void SetUp() override {
    emulator::take_reports();
    emulator::print_reports(false);
  }
  void TearDown() override {
    emulator::reset_devices();
    emulator::print_reports(true);
  }
  // The second kernel reads what the first one wrote.
  template <bool kWaits>
  std::vector<std::string> run_two(Order order, bool with_copy) {
    DeviceArray<uint32_t> a(std::vector<uint32_t>(32, 5)), b(32), c(32);
    TestStream stream;
    EXPECT_EQ(launch<AddOneKernel<true>>(stream.handle, Grid{}, 0, {a.data, b.data}), Error::kOk);
    if (with_copy) {
      EXPECT_EQ(copy_on_device(b.data, a.data, 4, stream.handle), Error::kOk);
    }
    EXPECT_EQ(launch<AddOneKernel<kWaits>>(stream.handle, Grid{}, 0, {b.data, c.data}, order), Error::kOk);
    wait_stream(stream.handle);
    auto reports = emulator::take_reports();
    emulator::reset_devices();
    return reports;
  }
};

TEST_F(PlantedLaunch, OverlapWithoutAWait) {
  const auto reports = run_two<false>(Order::kMayOverlap, false);
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_NE(reports[0].find("wait_for_previous_kernel comes first"), std::string::npos) << reports[0];
  EXPECT_EQ(run_two<true>(Order::kMayOverlap, false).size(), 0u);
  EXPECT_EQ(run_two<false>(Order::kAfterPrevious, false).size(), 0u);
  EXPECT_EQ(run_two<false>(Order::kMayOverlap, true).size(), 0u);  // only kernels overlap
}

TEST_F(PlantedLaunch, MemoryThatWasReleased) {
  DeviceArray<uint32_t> in(std::vector<uint32_t>(32, 5));
  TestStream stream;
  GraphHandle graph;
  {
    DeviceArray<uint32_t> out(32);
    ASSERT_EQ(begin_capture(stream.handle), Error::kOk);
    ASSERT_EQ(launch<AddOneKernel<true>>(stream.handle, Grid{}, 0, {in.data, out.data}), Error::kOk);
    ASSERT_EQ(end_capture(stream.handle, &graph), Error::kOk);
    ASSERT_EQ(launch_graph(graph, stream.handle), Error::kOk);
    ASSERT_EQ(wait_stream(stream.handle), Error::kOk);
  }
  ASSERT_EQ(launch_graph(graph, stream.handle), Error::kOk);
  EXPECT_EQ(wait_stream(stream.handle), Error::kIllegalAddress);
  const auto reports = emulator::take_reports();
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_NE(reports[0].find("writes 4 bytes at"), std::string::npos) << reports[0];
  close_graph(graph);
}

TEST_F(PlantedLaunch, MemoryThatIsNeverReleased) {
  const size_t before = emulator::unreleased_memory().size();
  void* memory = nullptr;
  ASSERT_EQ(allocate(&memory, 123), Error::kOk);
  const auto sentences = emulator::unreleased_memory();
  ASSERT_EQ(sentences.size(), before + 1);
  EXPECT_NE(sentences.back().find("123 bytes"), std::string::npos);
  ASSERT_EQ(release(memory), Error::kOk);
  EXPECT_EQ(emulator::unreleased_memory().size(), before);
}

// A write that no hook sees, such as the C library's.
struct MemsetKernel {
  static constexpr int kThreads = 32;
  static constexpr int kMinBlocks = 1;
  static constexpr Arch kArch = Arch::kAny;
  struct Args {
    unsigned char* to;
    void* (*set)(void*, int, size_t);
  };
  GPU static void run(const Args& args) {
    if (thread_index() == 0) args.set(args.to, 0, 101);
  }
};
TEST_F(PlantedLaunch, AWriteBehindTheCheckedAccesses) {
  void* memory = nullptr;
  ASSERT_EQ(allocate(&memory, 100), Error::kOk);
  ASSERT_EQ(run<MemsetKernel>(Grid{}, 0, {static_cast<unsigned char*>(memory), &std::memset}), Error::kOk);
  ASSERT_EQ(release(memory), Error::kOk);
  const auto reports = emulator::take_reports();
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_NE(reports[0].find("a write outside of an allocation of 100 bytes"), std::string::npos) << reports[0];
}

}  // namespace

}  // namespace embedcore::cuda

#endif
