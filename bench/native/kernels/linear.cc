// Linear layers with bias and, if the model has it, the residual, without activation. With few rows the weights must
// come from memory, so calls use several copies, which exceed all caches. With more rows arithmetic dominates, so one
// copy is enough.
#include "ops/linear.h"

#include <memory>

#include "limit_cases.h"
#include "shapes.h"

namespace embedcore::bench {
namespace {

constexpr int64_t kRowCounts[] = {1, 4, 8, 16, 32, 64, 128, 256, 512};
constexpr int64_t kMemoryBoundRows = 8;
constexpr size_t kColdBytes = size_t{192} << 20;

struct Weights {
  const Backend& backend;
  std::vector<PackedLinear*> copies;
  size_t next = 0;

  explicit Weights(const Backend& backend) : backend(backend) {}
  ~Weights() {
    for (auto* copy : copies) backend.free_linear(copy);
  }
  const PackedLinear* warm() const { return copies.front(); }
  const PackedLinear* cold() { return copies[next = (next + 1) % copies.size()]; }
};

// Copies of the same numbers, more than kColdBytes in total; none if the backend does not have this arithmetic.
std::shared_ptr<Weights> pack(const Context& context, const LinearShape& shape, DType dtype) {
  auto weights = std::make_shared<Weights>(context.backend);
  const auto numbers = normal_numbers(shape.in * shape.out, 0.02f);
  const auto bias = normal_numbers(shape.out, 0.02f);
  size_t bytes = 0;
  const LinearWeights from{
      .weight = numbers.data(), .bias = bias.data(), .in = shape.in, .out = shape.out, .dtype = dtype};
  while (bytes < kColdBytes) {
    PackedLinear* copy = nullptr;
    if (context.backend.pack_linear(context.device, from, &copy) != kOk) break;
    weights->copies.push_back(copy);
    bytes += copy->bytes;
  }
  return weights->copies.empty() ? nullptr : weights;
}

}  // namespace

void linear_cases(const Context& context) {
  for (const auto& model : kModels) {
    for (const auto& shape : model.linears) {
      std::vector<Case> cases;
      for (const DType dtype : context.dtypes) {
        const auto weights = pack(context, shape, dtype);
        if (!weights) continue;
        // As in native/model/layer.cc, inputs from the residual stream are float32, and so are results that are added
        // to it.
        const int64_t most = std::end(kRowCounts)[-1];
        const auto x =
            std::make_shared<Rows>(most, shape.in, shape.adds || model.causal ? activation_dtype(dtype) : DType::kF32);
        const auto y = std::make_shared<Rows>(most, shape.out, shape.adds ? DType::kF32 : activation_dtype(dtype));
        const auto residual = std::make_shared<Rows>(most, shape.out, DType::kF32);
        for (const bool all : thread_choices(context)) {
          // Each limit is measured just before the cases that it applies to.
          int read = -1, peak = -1;
          for (const int64_t rows : kRowCounts) {
            const LinearArgs args{.x = x->data(),
                                  .x_stride = shape.in,
                                  .y = y->data(),
                                  .y_stride = shape.out,
                                  .rows = rows,
                                  .residual = shape.adds ? residual->floats() : nullptr,
                                  .residual_stride = shape.out,
                                  .x_dtype = x->dtype(),
                                  .y_dtype = y->dtype()};
            const bool cold = rows <= kMemoryBoundRows;
            int& limit = cold ? read : peak;
            if (limit < 0) limit = cold ? add_read(cases, context, all) : add_peak(cases, context, dtype, all);
            const int64_t weight_bytes = shape.in * shape.out *
                                         (dtype == DType::kF32    ? 4
                                          : dtype == DType::kBF16 ? 2
                                                                  : 1);
            const int64_t operations = 2 * shape.in * shape.out * rows;
            const auto fields = Fields()
                                    .text("kernel", "linear")
                                    .text("dtype", precision_name(dtype))
                                    .text("model", model.name)
                                    .text("layer", shape.layer);
            cases.push_back({Fields(fields)
                                 .number("in", shape.in)
                                 .number("out", shape.out)
                                 .number("rows", rows)
                                 .number("cold", cold)
                                 .number("operations", operations),
                             all,
                             [&context, weights, x, y, residual, args, cold](Stream& stream) {
                               LinearArgs next = args;
                               next.weights = cold ? weights->cold() : weights->warm();
                               must(context.backend.linear(stream, next), stream);
                             },
                             static_cast<double>(cold ? weight_bytes : operations), limit});
          }
        }
      }
      run(cases, context.team, context.settings);
    }
  }
}

}  // namespace embedcore::bench
