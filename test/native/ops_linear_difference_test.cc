// The gradients of ops/linear.h, of the reference, against finite differences of its forward pass.
#include "lora_inputs.h"

namespace embedcore::test {
namespace {

// A linear layer is linear in each of x, W, b, A and B alone, so a central difference with a step of 1 has no error but
// that of the float32 results: half a unit each of two results per element, weighted as the projection is.
class FiniteDifferences {
 public:
  explicit FiniteDifferences(const LoraCase& c) : inputs_(c), projection_(c.linear.rows, c.linear.out) {
    Random random(11);
    projection_.fill(random);
    inputs_.dz = Rows(projection_);
    if (c.rate > 0) apply_dropout(inputs_.dz, c.rate, 5);
  }

  void check() {
    const int64_t rows = inputs_.spec.linear.rows, in = inputs_.spec.linear.in, out = inputs_.spec.linear.out;
    const Backend& reference = reference_backend();
    const PackedWeights packed(reference, inputs_.weights(DType::kF32, LinearUse::kForwardAndBackward));
    const auto forward = inputs_.run(reference, packed.weights, kFloats, 0, rows);
    const auto backward = inputs_.run_backward(reference, packed.weights, 0, rows, false);
    expect_derivative("x", inputs_.layer.x, backward.y);
    Rows dweight = zeros(out, in), dbias = zeros(1, out);
    add(inputs_.layer.x, inputs_.dz.data(), inputs_.dz.stride(), 1, dweight, &dbias);
    expect_derivative("W", inputs_.layer.weight, dweight);
    expect_derivative("b", inputs_.layer.bias, dbias);
    for (size_t i = 0; i < inputs_.spec.parts.size(); ++i) {
      const PartSpec& part = inputs_.spec.parts[i];
      Rows x = inputs_.layer.x, da = zeros(part.rank, in), db = zeros(part.count, part.rank);
      if (part.rate > 0) apply_dropout(x, part.rate, static_cast<uint32_t>(100 + i));
      add(x, backward.middle[i].data(), part.rank, 1, da);
      add(forward.middle[i], inputs_.dz.data() + part.first, inputs_.dz.stride(), part.scale, db);
      expect_derivative("A", inputs_.a[i], da);
      expect_derivative("B", inputs_.b[i], db);
    }
  }

 private:
  static constexpr LinearTypes kFloats{DType::kF32, DType::kF32, DType::kF32};

  static Rows zeros(int64_t rows, int64_t width) {
    return std::move(Rows(rows, width).each([](float) { return 0.0f; }));
  }

  void apply_dropout(Rows& rows, float rate, uint32_t site) const {
    OpCall call(reference_backend());
    float* const x = call.out(rows);
    call.run(reference_backend().dropout, {.x = x,
                                           .x_stride = rows.stride(),
                                           .y = x,
                                           .y_stride = rows.stride(),
                                           .rows = rows.rows(),
                                           .width = rows.width(),
                                           .dropout = inputs_.dropout_of(call, rate, site, 0)});
  }

  static void add(const Rows& x, const float* dz, int64_t dz_stride, float scale, Rows& dweight,
                  Rows* dbias = nullptr) {
    OpCall call(reference_backend());
    call.run(reference_backend().linear_weight_gradient, {.x = call.in(x),
                                                          .x_stride = x.stride(),
                                                          .dz = dz,
                                                          .dz_stride = dz_stride,
                                                          .rows = x.rows(),
                                                          .in = dweight.width(),
                                                          .out = dweight.rows(),
                                                          .scale = scale,
                                                          .dweight = call.out(dweight),
                                                          .dbias = dbias ? call.out(*dbias) : nullptr});
  }

  // The projection of the layer's result, and the sum of its magnitudes.
  std::pair<double, double> project() const {
    const PackedWeights packed(reference_backend(), inputs_.weights(DType::kF32));
    const Rows y = inputs_.run(reference_backend(), packed.weights, kFloats, 0, inputs_.spec.linear.rows).y;
    double sum = 0, size = 0;
    for (int64_t row = 0; row < y.rows(); ++row)
      for (int64_t column = 0; column < y.width(); ++column) {
        const double term = static_cast<double>(y.at(row, column)) * projection_.at(row, column);
        sum += term;
        size += std::abs(term);
      }
    return {sum, size};
  }

  // Changes each element of `parameter` by a step of 1 up and down.
  void expect_derivative(const char* name, Rows& parameter, const Rows& gradient) {
    for (int64_t row = 0; row < parameter.rows(); ++row)
      for (int64_t column = 0; column < parameter.width(); ++column) {
        float& value = parameter.at(row, column);
        const float before = value, up = before + 1, down = before - 1;
        value = up;
        const auto [above, above_size] = project();
        value = down;
        const auto [below, below_size] = project();
        value = before;
        const double step = static_cast<double>(up) - static_cast<double>(down);
        // The middles and the gradient itself are rounded to float32 as well.
        const double allowed = 4 * kUnit * (above_size + below_size + std::abs(gradient.at(row, column)));
        ASSERT_NEAR(gradient.at(row, column), (above - below) / step, allowed)
            << name << ", row " << row << ", column " << column;
      }
  }

  LoraInputs inputs_;
  Rows projection_;
};

TEST(LinearFiniteDifferenceTest, TheReferencesGradientsAreTheDerivatives) {
  for (const LoraCase& c : {LoraCase{{4, 5, 7}, {}}, LoraCase{{4, 5, 7}, {}, 0.5f},
                            LoraCase{{5, 6, 9}, {{0, 4, 2, 0.5f}, {5, 3, 3, 2.0f, 0.3f}}, 0.25f}}) {
    SCOPED_TRACE(name_of(c));
    FiniteDifferences(c).check();
  }
}

}  // namespace
}  // namespace embedcore::test
