// Rows written down by hand, for the tests of the reference.
#pragma once

#include <type_traits>
#include <vector>

#include "op_cases.h"
#include "op_support.h"

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
AttentionArgs attention_args(Rows& qkv, Rows& y, const std::vector<int32_t>& offsets, int64_t heads, int64_t kv_heads,
                             int64_t head_dim) {
  AttentionArgs args{};
  args.qkv = qkv.data();
  args.qkv_stride = (heads + 2 * kv_heads) * head_dim;
  args.y = y.data();
  args.y_stride = heads * head_dim;
  args.offsets = offsets.data();
  args.texts = static_cast<int64_t>(offsets.size()) - 1;
  args.heads = heads;
  args.kv_heads = kv_heads;
  args.head_dim = head_dim;
  args.scale = 1;
  args.dtype = std::is_same_v<Rows, Halves> ? DType::kBF16 : DType::kF32;
  return args;
}

}  // namespace embedcore::test
