// Attention with the heads of the models, on texts of equal length with about 512 tokens in a call, or on one longer
// text.
#include "ops/attention.h"

#include <algorithm>
#include <memory>

#include "limit_cases.h"
#include "shapes.h"

namespace embedcore::bench {
namespace {

constexpr int64_t kLengths[] = {32, 128, 512, 2048};
constexpr int64_t kTokens = 512;

struct Input {
  Rows qkv, y;
  std::vector<int32_t> offsets{0};
  std::vector<float> cos, sin;

  Input(const ModelShape& model, int64_t texts, int64_t length, DType dtype)
      : qkv(texts * length, (model.heads + 2 * model.kv_heads) * model.head_dim, dtype),
        y(texts * length, model.heads * model.head_dim, dtype) {
    for (int64_t i = 1; i <= texts; ++i) offsets.push_back(static_cast<int32_t>(i * length));
    const int64_t half = model.head_dim / 2;
    for (int64_t position = 0; position < length; ++position) {
      for (int64_t i = 0; i < half; ++i) {
        const double angle =
            static_cast<double>(position) * std::pow(1e6, -static_cast<double>(i) / static_cast<double>(half));
        cos.push_back(static_cast<float>(std::cos(angle)));
        sin.push_back(static_cast<float>(std::sin(angle)));
      }
    }
  }
};

AttentionArgs arguments(const ModelShape& model, const Input& input) {
  AttentionArgs args{.qkv = input.qkv.data(),
                     .qkv_stride = (model.heads + 2 * model.kv_heads) * model.head_dim,
                     .y = input.y.data(),
                     .y_stride = model.heads * model.head_dim,
                     .offsets = input.offsets.data(),
                     .texts = static_cast<int64_t>(input.offsets.size()) - 1,
                     .longest = input.offsets[1],  // all are of one length
                     .heads = model.heads,
                     .kv_heads = model.kv_heads,
                     .head_dim = model.head_dim,
                     .scale = 1.0f / std::sqrt(static_cast<float>(model.head_dim)),
                     .mask = model.causal ? Mask::kCausal : Mask::kBidirectional,
                     .dtype = input.qkv.dtype()};
  // Rotated in place at each call: this changes the numbers but not their size.
  if (model.causal) {
    args.rope_cos = input.cos.data();
    args.rope_sin = input.sin.data();
    args.rotary_dim = model.head_dim;
  }
  return args;
}

}  // namespace

void attention_cases(const Context& context) {
  std::vector<Case> cases;
  for (const DType dtype : context.dtypes) {
    if (dtype == DType::kI8) continue;  // attention of an int8 model is float32 or bfloat16
    for (const auto& model : kModels) {
      for (const bool all : thread_choices(context)) {
        const int peak = add_peak(cases, context, dtype, all);
        for (const int64_t length : kLengths) {
          const int64_t texts = std::max<int64_t>(1, kTokens / length);
          const auto input = std::make_shared<Input>(model, texts, length, dtype);
          const int64_t pairs = model.causal ? length * (length + 1) / 2 : length * length;
          const int64_t operations = 4 * texts * pairs * model.heads * model.head_dim;
          const auto fields = Fields()
                                  .text("kernel", "attention")
                                  .text("dtype", precision_name(dtype))
                                  .text("model", model.name)
                                  .number("heads", model.heads);
          cases.push_back({Fields(fields)
                               .number("headDim", model.head_dim)
                               .number("texts", texts)
                               .number("length", length)
                               .number("operations", operations),
                           all,
                           [&context, input, args = arguments(model, *input)](Stream& stream) {
                             must(context.backend.attention(stream, args), stream);
                           },
                           static_cast<double>(operations), peak});
        }
      }
    }
  }
  run(cases, context.team, context.settings);
}

}  // namespace embedcore::bench
