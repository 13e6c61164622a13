// Operations of one stream happen in order: an operation that begins before the one before it has ended (a kernel on a
// device may) still reads what that one wrote, and only then writes.
#include "attention_inputs.h"
#include "linear_inputs.h"
#include "op_support.h"
#include "ops/activation.h"
#include "ops/embed.h"
#include "ops/fuse.h"
#include "ops/norm.h"
#include "ops/pool.h"
#include "ops/vectors.h"

namespace embedcore::test {
namespace {

// An activation, then the operation, without a wait.
template <typename Args>
struct Both {
  const Backend& backend;
  ActivationArgs before;
  Status (*operation)(Stream&, const Args&);
  Args args;
};

template <typename Args>
Status run_both(Stream& stream, const Both<Args>& both) {
  const Status status = both.backend.activation(stream, both.before);
  return status == kOk ? both.operation(stream, both.args) : status;
}

class OrderTest : public OpTest {
 protected:
  // The operation of what an activation makes of random rows x has the bits of the same in calls of their own.
  // arguments(call, x, y) -> Args. y has y_width columns of float32, which may hold other types.
  template <typename Args, typename Arguments>
  void expect_sees_the_one_before(Status (*operation)(Stream&, const Args&), DType dtype, int64_t rows, int64_t width,
                                  int64_t y_rows, int64_t y_width, Arguments&& arguments) {
    Random random(static_cast<uint32_t>(rows + width));
    Rows numbers(rows, width);
    numbers.fill(random);
    const TypedRows raw(dtype, numbers);
    const auto activation = [&](OpCall& call, void* x) {
      return ActivationArgs{.x = call.in(raw),
                            .x_stride = width,
                            .y = x,
                            .y_stride = width,
                            .rows = rows,
                            .width = width,
                            .activation = Activation::kRelu,
                            .dtype = dtype};
    };
    TypedRows x(dtype, rows, width), wanted_x(dtype, rows, width);
    Rows y(y_rows, y_width), wanted_y(y_rows, y_width);
    {
      OpCall first(backend());
      first.run(backend().activation, activation(first, first.out(wanted_x)));
      OpCall second(backend());
      void* const given = second.out(wanted_x);
      second.run(operation, arguments(second, given, second.out(wanted_y)));
    }
    OpCall call(backend());
    void* const given = call.out(x);
    const Both<Args> both{backend(), activation(call, given), operation, arguments(call, given, call.out(y))};
    call.run(&run_both<Args>, both);
    expect_same_bits(x.values(), wanted_x.values());
    expect_same_bits(y, wanted_y);
  }

  std::vector<DType> dtypes() const { return supported(backend(), kRowTypes); }
};
EMBEDCORE_EVERY_BACKEND(OrderTest);

// Rows that the arithmetic takes as they are, and rows that are brought into its dtype first; the residual is written
// by the activation too.
TEST_P(OrderTest, Linear) {
  constexpr int64_t kRows = 20, kWidth = 64;
  LinearInputs inputs({.rows = kRows, .in = kWidth, .out = kWidth});
  for (const LinearTypes& types : every_linear_types(backend())) {
    if (types.y != DType::kF32) continue;
    SCOPED_TRACE(name_of(types));
    const PackedWeights packed(backend(), inputs.weights(types.dtype));
    ASSERT_EQ(packed.status, kOk);
    expect_sees_the_one_before(
        backend().linear, types.x, kRows, kWidth, kRows, kWidth, [&](OpCall&, void* x, float* y) {
          return LinearArgs{.weights = packed.weights,
                            .x = x,
                            .x_stride = kWidth,
                            .y = y,
                            .y_stride = kWidth,
                            .rows = kRows,
                            .residual = types.x == DType::kF32 ? static_cast<const float*>(x) : nullptr,
                            .residual_stride = kWidth,
                            .x_dtype = types.x};
        });
  }
}

TEST_P(OrderTest, Attention) {
  for (const int64_t rotary : {0, 32}) {
    const Inputs inputs({{20, 70}, 2, 1, 32, Mask::kBidirectional, 0, {}, rotary});
    const std::vector<int32_t> plan = Inputs::plan_of(backend(), inputs.offsets);
    for (const DType dtype : dtypes()) {
      SCOPED_TRACE(testing::Message() << dtype_name(dtype) << ", rotary " << rotary);
      expect_sees_the_one_before(
          backend().attention, dtype, inputs.qkv.rows(), inputs.qkv.width(), inputs.qkv.rows(), 64,
          [&](OpCall& call, void* x, float* y) {
            return AttentionArgs{.qkv = x,
                                 .qkv_stride = inputs.qkv.width(),
                                 .y = y,
                                 .y_stride = dtype == DType::kF32 ? 64 : 128,  // 64 columns; y has memory for floats
                                 .offsets = call.in(inputs.offsets),
                                 .texts = inputs.texts(),
                                 .longest = inputs.longest,
                                 .plan = plan.empty() ? nullptr : call.in(plan),
                                 .host_plan = plan.empty() ? nullptr : plan.data(),
                                 .heads = 2,
                                 .kv_heads = 1,
                                 .head_dim = 32,
                                 .scale = inputs.scale(),
                                 .rope_cos = rotary > 0 ? call.in(inputs.cosine) : nullptr,
                                 .rope_sin = rotary > 0 ? call.in(inputs.sine) : nullptr,
                                 .rotary_dim = rotary,
                                 .dtype = dtype};
          });
    }
  }
}

TEST_P(OrderTest, RowsOfFloats) {
  constexpr int64_t kRows = 9;
  const std::vector<int32_t> offsets = {0, 4, 9}, ids = {3, 8, 0, 1, 1};
  for (const int64_t width : {36, 1500}) {  // of one warp, and of a block
    SCOPED_TRACE(testing::Message() << "width " << width);
    const auto expect = [&](auto operation, int64_t y_rows, auto&& arguments) {
      expect_sees_the_one_before(
          operation, DType::kF32, kRows, width, y_rows, width,
          [&](OpCall& call, void* x, float* y) { return arguments(call, static_cast<float*>(x), y); });
    };
    expect(backend().norm, kRows, [&](OpCall&, const float* x, float* y) {
      return NormArgs{
          .x = x, .x_stride = width, .y = y, .y_stride = width, .rows = kRows, .width = width, .epsilon = 1};
    });
    expect(backend().activation, kRows, [&](OpCall&, const float* x, float* y) {
      return ActivationArgs{.x = x,
                            .x_stride = width,
                            .y = y,
                            .y_stride = width,
                            .rows = kRows,
                            .width = width,
                            .activation = Activation::kSigmoid};
    });
    expect(backend().fuse, kRows, [&](OpCall&, const float* x, float* y) {
      return FuseArgs{.x = x,
                      .x_stride = width,
                      .y = y,
                      .y_stride = width,
                      .rows = kRows,
                      .width = width,
                      .factor = 2,
                      .first = true};
    });
    expect(backend().pool, 2, [&](OpCall& call, const float* x, float* y) {
      return PoolArgs{.x = x,
                      .x_stride = width,
                      .y = y,
                      .y_stride = width,
                      .offsets = call.in(offsets),
                      .texts = 2,
                      .width = width};
    });
    EmbedTable table;
    expect(backend().embed, 5, [&](OpCall& call, const float* x, float* y) {
      table = {.rows = x, .ids = call.in(ids)};
      return EmbedArgs{.tables = &table, .count = 1, .tokens = 5, .width = width, .y = y, .y_stride = width};
    });
    expect(backend().bag, 5, [&](OpCall& call, const float* x, float* y) {
      return BagArgs{
          .rows = call.in(ids), .ids = call.in(ids), .texts = 5, .width = width, .table = x, .y = y, .y_stride = width};
    });
    expect(backend().normalize, 1, [&](OpCall&, float* x, float*) {
      return NormalizeArgs{.x = x, .stride = width, .rows = kRows, .width = width};
    });
    for (const Similarity kind : kEverySimilarity)
      expect(backend().similarity, kRows, [&](OpCall&, const float* x, float* y) {
        return SimilarityArgs{
            .kind = kind, .a = x, .b = x, .rows_a = kRows, .rows_b = kRows, .width = width, .y = y, .y_stride = width};
      });
    const std::vector<float> minimum(static_cast<size_t>(width), -0.5f), maximum(static_cast<size_t>(width), 0.5f);
    for (const Precision precision : kEveryPrecision)
      expect(backend().quantize, kRows, [&](OpCall& call, const float* x, float* y) {
        const bool ranges = precision == Precision::kInt8 || precision == Precision::kUint8;
        return QuantizeArgs{.precision = precision,
                            .x = x,
                            .rows = kRows,
                            .width = width,
                            .minimum = ranges ? call.in(minimum) : nullptr,
                            .maximum = ranges ? call.in(maximum) : nullptr,
                            .y = reinterpret_cast<uint8_t*>(y)};
      });
  }
}

}  // namespace
}  // namespace embedcore::test
