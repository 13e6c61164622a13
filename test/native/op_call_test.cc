// op_call.h: what it finds of a backend that does not keep to its memory, and that a device gets the same call.
#include "op_call.h"

#include <gtest/gtest-spi.h>

#include <new>

#include "op_backends.h"
#include "op_support.h"
#include "ops/norm.h"
#include "reference/backend.h"

namespace embedcore::test {
namespace {

// Norm of two rows with gaps, of which `operation` does a part.
Rows run_norm(const Backend& backend, Status (*operation)(Stream&, const NormArgs&)) {
  Rows x(2, 5, 3), y(2, 5, 1);
  Random random(1);
  x.fill(random);
  OpCall call(backend);
  call.run(operation, {.x = call.in(x),
                       .x_stride = x.stride(),
                       .y = call.out(y),
                       .y_stride = y.stride(),
                       .rows = 2,
                       .width = 5,
                       .epsilon = 1});
  return y;
}

constexpr std::align_val_t kAligned{256};

// The reference in host memory, but to its callers a device.
const Backend& other_memory() {
  static const Backend table = [] {
    Backend copy = reference_backend();
    copy.host_memory = false;
    // more than it was asked for, for operations that write there
    copy.allocate = [](Device*, size_t bytes) { return ::operator new(bytes + 512, kAligned, std::nothrow); };
    copy.release = [](Device*, void* memory) { ::operator delete(memory, kAligned); };
    return copy;
  }();
  return table;
}

TEST(OpCall, GivesDevicesWhatHostsGet) {
  const Rows wanted = run_norm(reference_backend(), reference_backend().norm);
  for (const Backend* backend : fast_backends()) {
    if (backend->host_memory) continue;
    const Rows got = run_norm(*backend, backend->norm);
    expect_close(got, wanted, [](int64_t, int64_t) { return 20 * kUnit; });
  }
  expect_same_bits(run_norm(other_memory(), other_memory().norm), wanted);
}

// What run_norm finds.
std::vector<std::string> failures_of(Status (*operation)(Stream&, const NormArgs&)) {
  testing::TestPartResultArray results;
  {
    testing::ScopedFakeTestPartResultReporter reporter(
        testing::ScopedFakeTestPartResultReporter::INTERCEPT_ONLY_CURRENT_THREAD, &results);
    run_norm(other_memory(), operation);
  }
  std::vector<std::string> sentences;
  for (int i = 0; i < results.size(); ++i) sentences.emplace_back(results.GetTestPartResult(i).message());
  return sentences;
}

TEST(OpCall, FindsAWriteBeforeAResult) {
  const auto found = failures_of([](Stream&, const NormArgs& args) {
    static_cast<float*>(args.y)[-1] = 0;
    return kOk;
  });
  EXPECT_EQ(found, std::vector<std::string>{"Failed\nwritten outside of its memory, byte -4 of 44"});
}

// Only every other call has a guard there.
TEST(OpCall, FindsAWriteBehindAResult) {
  std::vector<std::string> found;
  for (int call = 0; call < 2; ++call)
    for (const std::string& sentence : failures_of([](Stream&, const NormArgs& args) {
           static_cast<float*>(args.y)[11] = 0;
           return kOk;
         }))
      found.push_back(sentence);
  EXPECT_EQ(found, std::vector<std::string>{"Failed\nwritten outside of its memory, byte 44 of 44"});
}

TEST(OpCall, FindsAWriteIntoAGapOrAnArgumentThatIsRead) {
  static const Rows gap = run_norm(other_memory(), [](Stream&, const NormArgs& args) {
    static_cast<float*>(args.y)[5] = 0;
    return kOk;
  });
  EXPECT_FATAL_FAILURE(gap.expect_gaps_kept(), "written beyond row 0, column 5");
  const auto found = failures_of([](Stream&, const NormArgs& args) {
    const_cast<float*>(args.x)[8] = 2;
    return kOk;
  });
  EXPECT_EQ(found, std::vector<std::string>{"Failed\nchanged what is only read, byte 32 of 52"});
}

TEST(OpCall, ReportsTheFirstStatus) {
  const auto found = failures_of([](Stream& stream, const NormArgs&) {
    std::snprintf(stream.message, sizeof stream.message, "no such norm");
    return kBadArgument;
  });
  ASSERT_EQ(found.size(), 1u);
  EXPECT_NE(found[0].find("no such norm"), std::string::npos);
}

// --- the library that EMBEDCORE_TEST_BACKEND would name ---

TEST(BackendLibrary, GivesItsTableToItsVersionAlone) {
  std::string reason;
  const Backend* table = open_backend_library(EMBEDCORE_TEST_PLUGIN, reason);
  ASSERT_NE(table, nullptr) << reason;
  EXPECT_EQ(table->version, kBackendVersion);
  EXPECT_STREQ(table->name, "reference-plugin");
  expect_same_bits(run_norm(*table, table->norm), run_norm(reference_backend(), reference_backend().norm));

  ASSERT_EQ(open_backend_library("/no/such/library.so", reason), nullptr);
  EXPECT_NE(reason.find("/no/such/library.so"), std::string::npos) << reason;
}

}  // namespace
}  // namespace embedcore::test
