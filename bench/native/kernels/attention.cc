// Attention with the heads of the models, on texts of equal length with about 512 tokens in a call, or on one longer
// text: the forward pass, and for training the same with dropout and both backwards.
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

// What a forward pass keeps for a backward pass, and the gradients. Of an input that only this uses: a call in place on
// rows with rotary positions changes them, and the log-sum-exp must remain that of the rows.
struct Kept {
  Input input;
  std::vector<RowKey> keys;
  std::vector<float> lse;
  Rows dy, dqkv;

  Kept(const ModelShape& model, int64_t texts, int64_t length, DType dtype)
      : input(model, texts, length, dtype),
        lse(static_cast<size_t>(model.heads * texts * length)),
        dy(texts * length, model.heads * model.head_dim, DType::kF32),
        dqkv(texts * length, (model.heads + 2 * model.kv_heads) * model.head_dim, DType::kF32) {
    for (int32_t text = 0; text < texts; ++text)
      for (int32_t token = 0; token < length; ++token) keys.push_back({text, token});
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

Fields fields_of(const char* kernel, const ModelShape& model, int64_t texts, int64_t length, DType dtype,
                 int64_t operations) {
  return Fields()
      .text("kernel", kernel)
      .text("dtype", precision_name(dtype))
      .text("model", model.name)
      .number("heads", model.heads)
      .number("headDim", model.head_dim)
      .number("texts", texts)
      .number("length", length)
      .number("operations", operations);
}

constexpr float kDropout = 0.1f;

// `fields` and `operations` are those of the forward pass without dropout. The backward pass is five products where the
// forward pass is two, float32 whatever the rows are.
void add_training(std::vector<Case>& cases, const Context& context, const ModelShape& model, int64_t texts,
                  int64_t length, DType dtype, bool all, int64_t operations, int peak, int float_peak) {
  const auto kept = std::make_shared<Kept>(model, texts, length, dtype);
  AttentionArgs forward = arguments(model, kept->input);
  forward.lse = kept->lse.data();
  Stream stream;
  must(context.backend.attention(stream, forward), stream);
  for (const float rate : {kDropout, 0.0f}) {
    forward.dropout = {.rate = rate, .seed = 1, .rows = kept->keys.data()};
    const AttentionGradientArgs gradient{.forward = forward,
                                         .dy = kept->dy.floats(),
                                         .dy_stride = forward.y_stride,
                                         .dqkv = static_cast<float*>(kept->dqkv.data()),
                                         .dqkv_stride = forward.qkv_stride};
    cases.push_back({fields_of(rate > 0 ? "attention_gradient_dropout" : "attention_gradient", model, texts, length,
                               dtype, operations / 2 * 5),
                     all,
                     [&context, kept, gradient](Stream& stream) {
                       must(context.backend.attention_gradient(stream, gradient), stream);
                     },
                     static_cast<double>(operations / 2 * 5), float_peak});
  }
  // Rotary positions change the rows at each call, but not their size.
  const auto input = std::make_shared<Kept>(model, texts, length, dtype);
  AttentionArgs dropped = arguments(model, input->input);
  dropped.lse = input->lse.data();
  dropped.dropout = {.rate = kDropout, .seed = 1, .rows = input->keys.data()};
  cases.push_back(
      {fields_of("attention_dropout", model, texts, length, dtype, operations), all,
       [&context, input, dropped](Stream& stream) { must(context.backend.attention(stream, dropped), stream); },
       static_cast<double>(operations), peak});
}

}  // namespace

void attention_cases(const Context& context) {
  std::vector<Case> cases;
  for (const DType dtype : context.dtypes) {
    if (dtype == DType::kI8) continue;  // attention of an int8 model is float32 or bfloat16
    for (const auto& model : kModels) {
      for (const bool all : thread_choices(context)) {
        const int peak = add_peak(cases, context, dtype, all);
        const int float_peak = dtype == DType::kF32 ? peak : add_peak(cases, context, DType::kF32, all);
        for (const int64_t length : kLengths) {
          const int64_t texts = std::max<int64_t>(1, kTokens / length);
          const auto input = std::make_shared<Input>(model, texts, length, dtype);
          const int64_t pairs = model.causal ? length * (length + 1) / 2 : length * length;
          const int64_t operations = 4 * texts * pairs * model.heads * model.head_dim;
          cases.push_back({fields_of("attention", model, texts, length, dtype, operations), all,
                           [&context, input, args = arguments(model, *input)](Stream& stream) {
                             must(context.backend.attention(stream, args), stream);
                           },
                           static_cast<double>(operations), peak});
          add_training(cases, context, model, texts, length, dtype, all, operations, peak, float_peak);
        }
      }
    }
  }
  run(cases, context.team, context.settings);
}

}  // namespace embedcore::bench
