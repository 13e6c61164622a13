// Element-wise work, on one thread with the rows of a batch: norms, gated activations, and the time that an activation
// adds to a linear layer.
#include <memory>

#include "limit_cases.h"
#include "ops/activation.h"
#include "ops/linear.h"
#include "ops/norm.h"
#include "shapes.h"

namespace embedcore::bench {
namespace {

constexpr int64_t kRows = 256;

struct Named {
  const char* name;
  Activation activation;
};
constexpr Named kActivations[] = {{"none", Activation::kIdentity},      {"gelu", Activation::kGelu},
                                  {"gelu-tanh", Activation::kGeluTanh}, {"relu", Activation::kRelu},
                                  {"silu", Activation::kSilu},          {"tanh", Activation::kTanh},
                                  {"sigmoid", Activation::kSigmoid}};

Fields fields(const char* kernel, const char* kind, DType dtype, int64_t width) {
  return Fields()
      .text("kernel", kernel)
      .text("kind", kind)
      .text("dtype", precision_name(dtype))
      .number("width", width)
      .number("elements", kRows * width);
}

// From float32 rows (the residual stream) to rows in the type of the arithmetic.
void add_norms(std::vector<Case>& cases, const Context& context, DType dtype, int clock) {
  for (const auto& model : kModels) {
    const auto x = std::make_shared<Rows>(kRows, model.width, DType::kF32);
    const auto y = std::make_shared<Rows>(kRows, model.width, dtype);
    const auto weight = std::make_shared<std::vector<float>>(normal_numbers(model.width, 1));
    const NormArgs args{.kind = model.causal ? NormKind::kRms : NormKind::kLayer,
                        .x = x->floats(),
                        .x_stride = model.width,
                        .y = y->data(),
                        .y_stride = model.width,
                        .rows = kRows,
                        .width = model.width,
                        .weight = weight->data(),
                        .bias = model.causal ? nullptr : weight->data(),
                        .epsilon = 1e-6f,
                        .y_dtype = dtype};
    cases.push_back(
        {fields("norm", model.causal ? "rms" : "layer", dtype, model.width), false,
         [&context, x, y, weight, args](Stream& stream) { must(context.backend.norm(stream, args), stream); },
         static_cast<double>(kRows * model.width), clock});
  }
}

void add_gated(std::vector<Case>& cases, const Context& context, DType dtype, int clock) {
  const int64_t width = kModels[2].intermediate;
  const auto x = std::make_shared<Rows>(kRows, 2 * width, dtype);
  const auto y = std::make_shared<Rows>(kRows, width, dtype);
  for (const auto& [name, activation] : {Named{"silu", Activation::kSilu}, Named{"gelu", Activation::kGelu}}) {
    const ActivationArgs args{.x = x->data(),
                              .x_stride = 2 * width,
                              .y = y->data(),
                              .y_stride = width,
                              .rows = kRows,
                              .width = width,
                              .activation = activation,
                              .gated = true,
                              .dtype = dtype};
    cases.push_back({fields("gate", name, dtype, width), false,
                     [&context, x, y, args](Stream& stream) { must(context.backend.activation(stream, args), stream); },
                     static_cast<double>(kRows * width), clock});
  }
}

// The first feed-forward matrix of MiniLM with each activation; the difference to none is reported.
void add_activations(std::vector<Case>& cases, const Context& context, DType dtype, int clock) {
  const auto& shape = kModels[0].linears[2];
  const auto numbers = normal_numbers(shape.in * shape.out, 0.05f);
  PackedLinear* packed = nullptr;
  const LinearWeights from{.weight = numbers.data(), .in = shape.in, .out = shape.out, .dtype = dtype};
  if (context.backend.pack_linear(context.device, from, &packed) != kOk) return;
  const std::shared_ptr<PackedLinear> weights(packed, [&context](PackedLinear* p) { context.backend.free_linear(p); });
  const auto x = std::make_shared<Rows>(kRows, shape.in, activation_dtype(dtype));
  const auto y = std::make_shared<Rows>(kRows, shape.out, activation_dtype(dtype));
  for (const auto& [name, activation] : kActivations) {
    const LinearArgs args{.weights = packed,
                          .x = x->data(),
                          .x_stride = shape.in,
                          .y = y->data(),
                          .y_stride = shape.out,
                          .rows = kRows,
                          .activation = activation,
                          .x_dtype = activation_dtype(dtype),
                          .y_dtype = activation_dtype(dtype)};
    cases.push_back(
        {fields("activation", name, dtype, shape.out), false,
         [&context, weights, x, y, args](Stream& stream) { must(context.backend.linear(stream, args), stream); },
         static_cast<double>(kRows * shape.out), clock});
  }
}

}  // namespace

void elementwise_cases(const Context& context) {
  std::vector<Case> cases;
  for (const DType dtype : context.dtypes) {
    const int clock = add_clock(cases);
    add_activations(cases, context, dtype, clock);
    if (dtype == DType::kI8) continue;
    add_norms(cases, context, dtype, clock);
    add_gated(cases, context, dtype, clock);
  }
  run(cases, context.team, context.settings);
}

}  // namespace embedcore::bench
