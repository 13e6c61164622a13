// Rows given as literals, for the tests of the reference.
#pragma once

#include <type_traits>
#include <vector>

#include "op_support.h"
#include "packed_weights.h"

namespace embedcore::test {

using Floats = std::vector<float>;

// One float32 rounding of a float64 result.
inline void expect_rounded(const Floats& got, const std::vector<double>& wanted) {
  ASSERT_EQ(got.size(), wanted.size());
  for (size_t i = 0; i < got.size(); ++i)
    EXPECT_NEAR(got[i], wanted[i], 1.001 * kUnit * std::abs(wanted[i])) << "element " << i;
}

using Halves = std::vector<uint16_t>;

// Of numbers that bfloat16 has.
inline Halves halves(const Floats& values) {
  Halves bits;
  for (const float value : values) {
    bits.push_back(f32_to_bf16(value));
    EXPECT_EQ(bf16_to_f32(bits.back()), value);
  }
  return bits;
}

inline Floats floats(const Halves& bits) {
  Floats values;
  for (const uint16_t each : bits) values.push_back(bf16_to_f32(each));
  return values;
}

template <typename Rows>
constexpr DType kDTypeOf = std::is_same_v<Rows, Halves> ? DType::kBF16 : DType::kF32;

// Dense rows x through packed weights, as many as y holds.
template <typename X, typename Y>
void run_linear(const PackedWeights& packed, const X& x, Y& y, Activation activation = Activation::kIdentity,
                const Floats& residual = {}) {
  const int64_t in = packed.weights->in, out = packed.weights->out;
  TestStream stream;
  expect_ok(reference_backend().linear(stream, {.weights = packed.weights,
                                                .x = x.data(),
                                                .x_stride = in,
                                                .y = y.data(),
                                                .y_stride = out,
                                                .rows = static_cast<int64_t>(y.size()) / out,
                                                .activation = activation,
                                                .residual = residual.empty() ? nullptr : residual.data(),
                                                .residual_stride = out,
                                                .x_dtype = kDTypeOf<X>,
                                                .y_dtype = kDTypeOf<Y>}),
            stream);
}

// longest may be too large, because the reference does not use it.
template <typename Rows>
AttentionArgs attention_args(Rows& qkv, Rows& y, const std::vector<int32_t>& offsets, int64_t heads, int64_t kv_heads,
                             int64_t head_dim) {
  return {.qkv = qkv.data(),
          .qkv_stride = (heads + 2 * kv_heads) * head_dim,
          .y = y.data(),
          .y_stride = heads * head_dim,
          .offsets = offsets.data(),
          .texts = static_cast<int64_t>(offsets.size()) - 1,
          .longest = offsets.back(),
          .heads = heads,
          .kv_heads = kv_heads,
          .head_dim = head_dim,
          .scale = 1,
          .dtype = kDTypeOf<Rows>};
}

}  // namespace embedcore::test
