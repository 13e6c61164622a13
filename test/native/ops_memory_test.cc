// Operations without memory: they report it, throw nothing, and work again later.
#include <thread>

#include "failing_memory.h"
#include "op_support.h"
#include "ops/linear.h"
#include "packed_weights.h"

namespace embedcore::test {
namespace {

class MemoryTest : public OpTest {
 protected:
  // On a new thread, whose scratch memory is still empty.
  template <typename Body>
  static void with_fresh_thread(Body&& body) {
    std::thread(body).join();
  }
};
EMBEDCORE_EVERY_HOST_BACKEND(MemoryTest);

TEST_P(MemoryTest, LinearSaysSoAndRecovers) {
  with_fresh_thread([&] {
    // More rows than what packing needed would hold the sums of.
    constexpr int64_t kRows = 200;
    const std::vector<float> weight(20 * 30, 0.5f), x(kRows * 20, 1.0f);
    const LinearWeights weights{.weight = weight.data(), .in = 20, .out = 30};
    Device* const device = device_of(backend());
    PackedLinear* packed = nullptr;
    refuse_memory = true;
    EXPECT_EQ(backend().pack_linear(device, weights, &packed), kOutOfMemory);
    refuse_memory = false;
    EXPECT_EQ(packed, nullptr);
    ASSERT_EQ(backend().pack_linear(device, weights, &packed), kOk);
    std::vector<float> y(kRows * 30);
    const LinearArgs args{
        .weights = packed, .x = x.data(), .x_stride = 20, .y = y.data(), .y_stride = 30, .rows = kRows};
    TestStream stream;
    refuse_memory = true;
    EXPECT_EQ(backend().linear(stream, args), kOutOfMemory);
    EXPECT_EQ(backend().linear(stream, args), kOutOfMemory);
    refuse_memory = false;
    EXPECT_EQ(backend().linear(stream, args), kOk);
    EXPECT_EQ(y, std::vector<float>(kRows * 30, 10.0f));
    backend().free_linear(packed);
  });
}

// Memory of operations in the other dtypes: without memory they report it or succeed without it; with memory, the
// result is right.
TEST_P(MemoryTest, LinearOfFewerBitsSaysSoOrDoesWithout) {
  for (const DType dtype : {DType::kBF16, DType::kI8}) {
    for (const DType rows : {DType::kF32, DType::kBF16}) {
      SCOPED_TRACE(testing::Message() << dtype_name(dtype) << ", rows " << dtype_name(rows));
      with_fresh_thread([&] {
        const std::vector<float> weight(20 * 30, 0.5f);
        const TypedRows x(rows, Rows(7, 20).each([](float) { return 1.0f; }));
        TypedRows y(rows, 7, 30);
        const LinearWeights weights{.weight = weight.data(), .in = 20, .out = 30, .dtype = dtype};
        Device* const device = device_of(backend());
        PackedLinear* packed = nullptr;
        refuse_memory = true;
        EXPECT_EQ(backend().pack_linear(device, weights, &packed), kOutOfMemory);
        refuse_memory = false;
        EXPECT_EQ(packed, nullptr);
        ASSERT_EQ(backend().pack_linear(device, weights, &packed), kOk);
        const LinearArgs args{.weights = packed,
                              .x = x.data(),
                              .x_stride = 20,
                              .y = y.data(),
                              .y_stride = 30,
                              .rows = 7,
                              .x_dtype = rows,
                              .y_dtype = rows};
        TestStream stream;
        for (const bool refused : {true, true, false}) {
          refuse_memory = refused;
          const Status status = backend().linear(stream, args);
          refuse_memory = false;
          if (refused && status == kOutOfMemory) continue;
          EXPECT_EQ(status, kOk);
          y.values().each([](float value) {
            EXPECT_NEAR(value, 10.0f, 50 * kUnit);  // int8's steps are rounded
            return value;
          });
        }
        backend().free_linear(packed);
      });
    }
  }
}

TEST_P(MemoryTest, SimilaritySaysSoAndRecovers) {
  for (const Similarity kind : {Similarity::kDot, Similarity::kCosine, Similarity::kEuclidean}) {
    with_fresh_thread([&] {
      const std::vector<float> a(3 * 20, 0.5f), b(30 * 20, 0.5f);
      std::vector<float> y(3 * 30);
      const SimilarityArgs args{
          .kind = kind, .a = a.data(), .b = b.data(), .rows_a = 3, .rows_b = 30, .width = 20, .y = y.data()};
      TestStream stream;
      refuse_memory = true;
      EXPECT_EQ(backend().similarity(stream, args), kOutOfMemory);
      refuse_memory = false;
      EXPECT_EQ(backend().similarity(stream, args), kOk);
      const float wanted = kind == Similarity::kDot ? 5.0f : kind == Similarity::kCosine ? 1.0f : 0.0f;
      for (const float value : y) EXPECT_NEAR(value, wanted, 50 * kUnit);
    });
  }
}

TEST_P(MemoryTest, AttentionSaysSoAndRecovers) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    SCOPED_TRACE(dtype_name(dtype));
    with_fresh_thread([&] {
      TypedRows qkv(dtype, Rows(9, 3 * 16).each([](float) { return 1.0f; })), y(dtype, 9, 16);
      const int32_t offsets[] = {0, 5, 9};
      const AttentionArgs args{.qkv = qkv.data(),
                               .qkv_stride = 48,
                               .y = y.data(),
                               .y_stride = 16,
                               .offsets = offsets,
                               .texts = 2,
                               .longest = 5,
                               .heads = 1,
                               .kv_heads = 1,
                               .head_dim = 16,
                               .scale = 0.25f,
                               .dtype = dtype};
      TestStream stream;
      refuse_memory = true;
      const Status refused = backend().attention(stream, args);
      refuse_memory = false;
      EXPECT_TRUE(refused == kOutOfMemory || (refused == kOk && dtype == DType::kBF16)) << refused;
      EXPECT_EQ(backend().attention(stream, args), kOk);
      // A mean of up to 5 ones: sums, reciprocal and product are rounded, and in bfloat16 weights that e^0 need not be
      // exactly 1 for.
      y.values().each([&](float value) {
        EXPECT_NEAR(value, 1.0f, dtype == DType::kF32 ? 12 * kUnit : 2 * kBf16Unit);
        return value;
      });
    });
  }
}

}  // namespace
}  // namespace embedcore::test
