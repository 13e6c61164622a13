// The gradients of ops/attention.h where there is no memory left.
#include <thread>

#include "attention_gradients.h"
#include "failing_memory.h"
#include "op_support.h"

namespace embedcore::test {
namespace {

class AttentionGradientMemoryTest : public OpTest {};
EMBEDCORE_EVERY_HOST_BACKEND(AttentionGradientMemoryTest);

// On a new thread, whose scratch memory is still empty.
TEST_P(AttentionGradientMemoryTest, SaysSoAndRecovers) {
  const Inputs inputs({{9, 4}, 2, 1, 16, Mask::kBidirectional, 0, {}, 0, HeadNorms::kNone, true});
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    SCOPED_TRACE(dtype_name(dtype));
    const Backward backward(inputs, dtype);
    const Rows wanted = backward.dqkv(backend()), wanted_bias = backward.dbias(backend());
    const Backward::Copies copies(backward, backend(), 0, 2);
    std::thread([&] {
      Rows dqkv(13, inputs.qkv.width()), dbias = backward.no_dbias();
      OpCall call(backend()), bias_call(backend());
      auto args = backward.arguments<AttentionGradientArgs>(call, copies);
      args.dqkv = call.out(dqkv);
      args.dqkv_stride = dqkv.stride();
      auto bias_args = backward.arguments<AttentionBiasGradientArgs>(bias_call, copies);
      bias_args.dbias = bias_call.out(dbias);
      refuse_memory = true;
      EXPECT_EQ(call.attempt(backend().attention_gradient, args), kOutOfMemory);
      EXPECT_EQ(bias_call.attempt(backend().attention_bias_gradient, bias_args), kOutOfMemory);
      refuse_memory = false;
      expect_same_bits(dbias, backward.no_dbias());
      EXPECT_EQ(call.attempt(backend().attention_gradient, args), kOk);
      EXPECT_EQ(bias_call.attempt(backend().attention_bias_gradient, bias_args), kOk);
      expect_same_bits(dqkv, wanted);
      expect_same_bits(dbias, wanted_bias);
    }).join();
  }
}

}  // namespace
}  // namespace embedcore::test
