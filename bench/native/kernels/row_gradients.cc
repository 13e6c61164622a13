// Training beside its products: gradients of operations on rows next to their forward pass, on one thread with the rows
// of a batch, and passes over blocks of parameters that are in no cache.
#include <memory>

#include "limit_cases.h"
#include "ops/activation.h"
#include "ops/embed.h"
#include "ops/norm.h"
#include "ops/optimizer.h"
#include "shapes.h"

namespace embedcore::bench {
namespace {

constexpr int64_t kRows = 256;
constexpr int64_t kParameters = int64_t{8} << 20;
constexpr int64_t kTokens = 2048, kVocabulary = 1000;

struct Added {
  std::vector<Case>& cases;
  const Context& context;
  int clock;

  template <typename Args, typename Held>
  void operator()(const char* kernel, const char* kind, DType dtype, int64_t elements,
                  Status (*operation)(Stream&, const Args&), const Args& args, Held held) {
    cases.push_back({Fields()
                         .text("kernel", kernel)
                         .text("kind", kind)
                         .text("dtype", precision_name(dtype))
                         .number("elements", elements),
                     false, [operation, args, held](Stream& stream) { must(operation(stream, args), stream); },
                     static_cast<double>(elements), clock});
  }
};

// Rows of x, dy, dx and y; x and dx are wide enough for a gate and its factor.
struct Memory {
  Rows x, y, dy, dx;
  std::vector<float> mean, rstd, weight, dweight, dbias;
  Memory(int64_t width, DType dtype)
      : x(kRows, 2 * width, dtype),
        y(kRows, width, dtype),
        dy(kRows, width, DType::kF32),
        dx(kRows, 2 * width, DType::kF32),
        mean(kRows, 0.1f),
        rstd(kRows, 0.9f),
        weight(normal_numbers(width, 1)),
        dweight(static_cast<size_t>(width)),
        dbias(static_cast<size_t>(width)) {}
  float* floats(const Rows& rows) const { return static_cast<float*>(rows.data()); }
};

void add_activations(Added add, DType dtype) {
  struct Kind {
    const char* name;
    Activation activation;
    bool gated;
    int64_t width;
  };
  for (const Kind& kind : {Kind{"gelu", Activation::kGelu, false, kModels[0].intermediate},
                           Kind{"gelu-tanh", Activation::kGeluTanh, false, kModels[0].intermediate},
                           Kind{"gated silu", Activation::kSilu, true, kModels[2].intermediate},
                           Kind{"gated gelu", Activation::kGelu, true, kModels[2].intermediate}}) {
    const auto memory = std::make_shared<Memory>(kind.width, dtype);
    const int64_t x_width = kind.gated ? 2 * kind.width : kind.width;
    add("activation forward", kind.name, dtype, kRows * kind.width, add.context.backend.activation,
        ActivationArgs{.x = memory->x.data(),
                       .x_stride = x_width,
                       .y = memory->y.data(),
                       .y_stride = kind.width,
                       .rows = kRows,
                       .width = kind.width,
                       .activation = kind.activation,
                       .gated = kind.gated,
                       .dtype = dtype},
        memory);
    add("activation gradient", kind.name, dtype, kRows * kind.width, add.context.backend.activation_gradient,
        ActivationGradientArgs{.x = memory->x.data(),
                               .x_stride = x_width,
                               .dy = memory->dy.floats(),
                               .dy_stride = kind.width,
                               .dx = memory->floats(memory->dx),
                               .dx_stride = x_width,
                               .y = memory->y.data(),
                               .y_stride = kind.width,
                               .rows = kRows,
                               .width = kind.width,
                               .activation = kind.activation,
                               .gated = kind.gated,
                               .dtype = dtype},
        memory);
  }
}

void add_norms(Added add) {
  for (const ModelShape& model : {kModels[0], kModels[2]}) {
    const int64_t width = model.width, elements = kRows * width;
    const NormKind kind = model.causal ? NormKind::kRms : NormKind::kLayer;
    const char* name = model.causal ? "rms 896" : "layer 384";
    const auto memory = std::make_shared<Memory>(width, DType::kF32);
    add("norm forward", name, DType::kF32, elements, add.context.backend.norm,
        NormArgs{.kind = kind,
                 .x = memory->x.floats(),
                 .x_stride = width,
                 .y = memory->y.data(),
                 .y_stride = width,
                 .rows = kRows,
                 .width = width,
                 .weight = memory->weight.data(),
                 .epsilon = 1e-6f},
        memory);
    add("norm gradient", name, DType::kF32, elements, add.context.backend.norm_gradient,
        NormGradientArgs{.kind = kind,
                         .x = memory->x.floats(),
                         .x_stride = width,
                         .dy = memory->dy.floats(),
                         .dy_stride = width,
                         .dx = memory->floats(memory->dx),
                         .dx_stride = width,
                         .rows = kRows,
                         .width = width,
                         .weight = memory->weight.data(),
                         .mean = memory->mean.data(),
                         .rstd = memory->rstd.data()},
        memory);
    add("norm weight gradient", name, DType::kF32, elements, add.context.backend.norm_weight_gradient,
        NormWeightGradientArgs{.kind = kind,
                               .x = memory->x.floats(),
                               .x_stride = width,
                               .dy = memory->dy.floats(),
                               .dy_stride = width,
                               .rows = kRows,
                               .width = width,
                               .mean = memory->mean.data(),
                               .rstd = memory->rstd.data(),
                               .dweight = memory->dweight.data(),
                               .dbias = memory->dbias.data()},
        memory);
  }
}

// The words of a step: ids spread over the vocabulary, sorted.
void add_embed(Added add) {
  struct Words {
    Rows dy{kTokens, kModels[0].width, DType::kF32};
    std::vector<float> table = std::vector<float>(static_cast<size_t>(kVocabulary * kModels[0].width));
    std::vector<int32_t> rows, starts{0}, tokens;
  };
  const auto words = std::make_shared<Words>();
  for (int32_t row = 0; row < kVocabulary; ++row) {
    for (int32_t t = 0; t < kTokens; ++t)
      if (int64_t{t} * t % kVocabulary == row) words->tokens.push_back(t);
    if (words->starts.back() == static_cast<int32_t>(words->tokens.size())) continue;
    words->rows.push_back(row);
    words->starts.push_back(static_cast<int32_t>(words->tokens.size()));
  }
  add("embed gradient", "2,048 tokens", DType::kF32, kTokens * kModels[0].width, add.context.backend.embed_gradient,
      EmbedGradientArgs{.rows = words->rows.data(),
                        .starts = words->starts.data(),
                        .tokens = words->tokens.data(),
                        .distinct = static_cast<int64_t>(words->rows.size()),
                        .width = kModels[0].width,
                        .dy = words->dy.floats(),
                        .dy_stride = kModels[0].width,
                        .dtable = words->table.data()},
      words);
}

struct Blocks {
  std::vector<float> values = normal_numbers(kParameters, 1), gradients = values, first = values,
                     second = std::vector<float>(static_cast<size_t>(kParameters), 1.0f);
  double sum = 0;
};

void add_parameters(std::vector<Case>& cases, const Context& context, const std::shared_ptr<Blocks>& blocks, bool all) {
  const int read = add_read(cases, context, all);
  const auto add = [&](const char* kind, int64_t bytes_each, auto operation, const auto& args) {
    const int64_t bytes = bytes_each * kParameters;
    cases.push_back({Fields()
                         .text("kernel", "parameters")
                         .text("kind", kind)
                         .text("dtype", "float32")
                         .number("parameters", kParameters)
                         .number("bytes", bytes)
                         .number("cold", 1),
                     all, [operation, args, blocks](Stream& stream) { must(operation(stream, args), stream); },
                     static_cast<double>(bytes), read});
  };
  add("adamw", 28, context.backend.adamw,
      AdamWArgs{.values = blocks->values.data(),
                .gradients = blocks->gradients.data(),
                .first = blocks->first.data(),
                .second = blocks->second.data(),
                .elements = kParameters,
                .rate = 1e-5,
                .decay = 0.01});
  add("axpby", 12, context.backend.axpby,
      AxpbyArgs{.x = blocks->gradients.data(),
                .y = blocks->values.data(),
                .elements = kParameters,
                .alpha = 1e-6f,
                .beta = 1});
  add("sum_squares", 4, context.backend.sum_squares,
      SumSquaresArgs{.x = blocks->gradients.data(), .elements = kParameters, .sum = &blocks->sum});
}

}  // namespace

void row_gradient_cases(const Context& context) {
  std::vector<Case> cases;
  const Added add{cases, context, add_clock(cases)};
  add_activations(add, DType::kF32);
  add_activations(add, DType::kBF16);
  add_norms(add);
  add_embed(add);
  run(cases, context.team, context.settings);

  std::vector<Case> passes;
  const auto blocks = std::make_shared<Blocks>();
  for (const bool all : thread_choices(context)) add_parameters(passes, context, blocks, all);
  run(passes, context.team, context.settings);
}

}  // namespace embedcore::bench
