// What training asks of the linear layers of a MiniLM: the forward pass, both gradients, LoRA, repacking, and dropout.
#include <memory>

#include "limit_cases.h"
#include "ops/dropout.h"
#include "ops/linear.h"
#include "shapes.h"

namespace embedcore::bench {
namespace {

constexpr int64_t kRowCounts[] = {256, 512, 2048};
constexpr int64_t kRank = 16;
constexpr float kRate = 0.1f;

// A layer, its rows and its gradients, all of normal numbers.
struct Layer {
  Layer(const Context& context, const LinearShape& shape, DType dtype, int64_t rows)
      : backend(context.backend),
        x(rows, shape.in, DType::kF32),
        y(rows, shape.out, DType::kF32),
        dx(rows, shape.in, DType::kF32),
        weight(shape.out, shape.in, DType::kF32),
        dweight(shape.out, shape.in, DType::kF32),
        bias(1, shape.out, DType::kF32),
        a(kRank, shape.in, DType::kF32),
        b(shape.out, kRank, DType::kF32) {
    for (int32_t row = 0; row < rows; ++row) keys.push_back({row / 32, row % 32});
    const LinearWeights from{.weight = weight.data(),
                             .bias = bias.floats(),
                             .in = shape.in,
                             .out = shape.out,
                             .dtype = dtype,
                             .use = LinearUse::kForwardAndBackward};
    if (backend.pack_linear(context.device, from, &packed) != kOk) packed = nullptr;
    // The queries, keys and values have a part each.
    const int64_t parts = shape.out == 3 * shape.in ? 3 : 1, count = shape.out / parts;
    for (int64_t i = 0; i < parts; ++i) {
      middles.push_back(std::make_unique<Rows>(rows, kRank, DType::kF32));
      lora.push_back({.first = i * count,
                      .count = count,
                      .rank = kRank,
                      .a = a.floats(),
                      .b = b.floats(),
                      .scale = 2,
                      .middle = static_cast<float*>(middles.back()->data())});
    }
  }
  ~Layer() { backend.free_linear(packed); }
  Layer(const Layer&) = delete;

  const Backend& backend;
  Rows x, y, dx, weight, dweight, bias, a, b;
  std::vector<std::unique_ptr<Rows>> middles;
  std::vector<RowKey> keys;
  std::vector<LoraPart> lora;
  PackedLinear* packed = nullptr;
};

}  // namespace

void linear_training_cases(const Context& context) {
  for (const auto& shape : kModels[0].linears) {
    std::vector<Case> cases;
    for (const DType dtype : context.dtypes) {
      if (dtype == DType::kI8) continue;
      for (const bool all : thread_choices(context)) {
        const int peak = add_peak(cases, context, dtype, all);
        for (const int64_t rows : kRowCounts) {
          const auto layer = std::make_shared<Layer>(context, shape, dtype, rows);
          if (!layer->packed) continue;
          const int64_t operations = 2 * shape.in * shape.out * rows;
          const auto add = [&](const char* kernel, std::function<void(Stream&)> call) {
            cases.push_back({Fields()
                                 .text("kernel", kernel)
                                 .text("dtype", precision_name(dtype))
                                 .text("model", kModels[0].name)
                                 .text("layer", shape.layer)
                                 .number("in", shape.in)
                                 .number("out", shape.out)
                                 .number("rows", rows)
                                 .number("operations", operations),
                             all, std::move(call), static_cast<double>(operations), peak});
          };
          LinearArgs forward{.weights = layer->packed,
                             .x = layer->x.data(),
                             .x_stride = shape.in,
                             .y = layer->y.data(),
                             .y_stride = shape.out,
                             .rows = rows};
          add("linear_forward", [=](Stream& stream) { must(layer->backend.linear(stream, forward), stream); });
          LinearArgs dropping = forward;
          dropping.dropout = {.rate = kRate, .rows = layer->keys.data()};
          add("linear_dropout", [=](Stream& stream) { must(layer->backend.linear(stream, dropping), stream); });
          LinearArgs adapted = forward;
          adapted.lora = layer->lora.data();
          adapted.lora_parts = static_cast<int32_t>(layer->lora.size());
          add("linear_lora", [=](Stream& stream) { must(layer->backend.linear(stream, adapted), stream); });
          LinearInputGradientArgs input{.weights = layer->packed,
                                        .dz = layer->y.floats(),
                                        .dz_stride = shape.out,
                                        .dx = static_cast<float*>(layer->dx.data()),
                                        .dx_stride = shape.in,
                                        .rows = rows};
          add("linear_input_gradient",
              [=](Stream& stream) { must(layer->backend.linear_input_gradient(stream, input), stream); });
          LinearInputGradientArgs adapted_input = input;
          adapted_input.lora = layer->lora.data();
          adapted_input.lora_parts = adapted.lora_parts;
          add("linear_lora_input_gradient",
              [=](Stream& stream) { must(layer->backend.linear_input_gradient(stream, adapted_input), stream); });
          const LinearWeightGradientArgs weight{.x = layer->x.data(),
                                                .x_stride = shape.in,
                                                .dz = layer->y.floats(),
                                                .dz_stride = shape.out,
                                                .rows = rows,
                                                .in = shape.in,
                                                .out = shape.out,
                                                .dtype = dtype,
                                                .dweight = static_cast<float*>(layer->dweight.data()),
                                                .dbias = static_cast<float*>(layer->bias.data())};
          add("linear_weight_gradient",
              [=](Stream& stream) { must(layer->backend.linear_weight_gradient(stream, weight), stream); });
          // Beside the products of the same rows, so that its share says what it costs them.
          add("repack_linear", [=](Stream& stream) {
            must(layer->backend.repack_linear(stream, layer->packed, layer->weight.floats(), nullptr), stream);
          });
          const DropoutArgs dropout{.x = layer->y.data(),
                                    .x_stride = shape.out,
                                    .y = layer->y.data(),
                                    .y_stride = shape.out,
                                    .rows = rows,
                                    .width = shape.out,
                                    .dropout = {.rate = kRate, .rows = layer->keys.data()}};
          add("dropout", [=](Stream& stream) { must(layer->backend.dropout(stream, dropout), stream); });
        }
      }
    }
    run(cases, context.team, context.settings);
  }
}

}  // namespace embedcore::bench
