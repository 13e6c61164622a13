// What a card runs of a library's code, and a card that none of it is for.
#include "code_choice.h"
#include "host_support.h"
#include "linear_tile.h"

namespace embedcore::cuda {
namespace {

TEST(CodeChoice, IsTheLatestMachineCodeOfTheSameMajorNumber) {
  constexpr int kAll[] = {75, 80, 86, 89, 90, 100};
  for (const int architecture : kAll) EXPECT_EQ(choose_code(kAll, 80, architecture), architecture);
  constexpr int kFew[] = {86, 80, 75};
  EXPECT_EQ(choose_code(kFew, 0, 89), 86);
  EXPECT_EQ(choose_code(kFew, 0, 87), 86);
  EXPECT_EQ(choose_code(kFew, 0, 80), 80);
  EXPECT_EQ(choose_code(kFew, 0, 72), 0);
  EXPECT_EQ(choose_code(kFew, 0, 90), 0);
}

TEST(CodeChoice, IsPtxForLaterCards) {
  constexpr int kFew[] = {75, 86};
  EXPECT_EQ(choose_code(kFew, 80, 90), 80);
  EXPECT_EQ(choose_code(kFew, 80, 120), 80);
  EXPECT_EQ(choose_code(kFew, 80, 80), 80);
  EXPECT_EQ(choose_code(kFew, 80, 89), 86);
  EXPECT_EQ(choose_code(kFew, 80, 70), 0);
  EXPECT_EQ(choose_code({}, 80, 75), 0);
}

class CodeTest : public HostTest {
 protected:
  // An H100 and a library with this code.
  void emulate_code(const std::vector<int>& machine_code, int ptx) {
    emulate([&](emulator::Settings& settings) {
      settings.architecture = 90;
      settings.code = {};
      for (const int code : machine_code) settings.code.machine_code[settings.code.count++] = code;
      settings.code.ptx = ptx;
    });
  }
};

// Not for Hopper: as on sm_80, whose kernels the PTX holds, with the tiles of mma.sync.
TEST_F(CodeTest, ALibraryWithoutCodeForHopperRunsItsPtx) {
  emulate_code({75, 80}, 80);
  const OpenedDevice opened;
  EXPECT_EQ(opened.device->architecture, 80);
  for (const DType dtype : {DType::kBF16, DType::kF16, DType::kI8})
    for (const int64_t rows : {1, 300})
      EXPECT_EQ(choose_tile(opened.device->properties, opened.device->architecture, dtype, rows, 1000).family,
                TileFamily::kSm80);
  OpenedStream stream(opened.device);
  auto* x = static_cast<int32_t*>(allocate(opened.device, 4));
  const int32_t five = 5;
  int32_t sum = 0;
  ASSERT_EQ(upload(stream, x, &five, 4), kOk);
  ASSERT_EQ(add(stream, x, 1, 2), kOk) << stream.message;
  ASSERT_EQ(download(stream, &sum, x, 4), kOk);
  ASSERT_EQ(wait(stream), kOk) << stream.message;
  EXPECT_EQ(sum, 7);
  release(opened.device, x);
}

TEST_F(CodeTest, ALibraryWithCodeForHopperUsesIt) {
  emulate_code({80, 90}, 80);
  const OpenedDevice opened;
  EXPECT_EQ(opened.device->architecture, 90);
  EXPECT_EQ(choose_tile(opened.device->properties, 90, DType::kBF16, 300, 1000).family, TileFamily::kSm90);
}

TEST_F(CodeTest, ALibraryWithoutAnyCodeForTheCardIsRefused) {
  emulate_code({75, 80, 86, 100}, 0);
  constexpr const char* kReason =
      "this library has no code for compute capability 9.0: build it with EMBEDCORE_CUDA_ARCHS=90";
  DeviceInfo info;
  ASSERT_EQ(describe_device(0, &info), kOk);
  EXPECT_STREQ(info.reason, kReason);
  EXPECT_EQ(info.compute_capability, 90);
  char message[256] = "";
  EXPECT_EQ(open_device(0, message, sizeof message), nullptr);
  EXPECT_STREQ(message, kReason);
}

}  // namespace
}  // namespace embedcore::cuda
