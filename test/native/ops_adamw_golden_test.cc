// adamw of ops/optimizer.h against torch.optim.AdamW (test/golden/make_optimizer.py), over 50 steps.
#include "base/json.h"
#include "base/mapped_file.h"
#include "base/safetensors.h"
#include "gradient_check.h"
#include "ops/optimizer.h"

namespace embedcore::test {
namespace {

const std::string kGolden = std::string(EMBEDCORE_ROOT) + "/test/golden/optimizer/golden";

class AdamWGoldenTest : public OpTest {};
EMBEDCORE_EVERY_BACKEND(AdamWGoldenTest);

Rows tensor(const SafeTensors& file, const std::string& name) {
  const TensorView* view = file.find(name);
  if (!view || view->dtype != DType::kF32) throw std::runtime_error("no float32 tensor " + name);
  const int64_t width = view->shape.back();
  Rows rows(view->elements() / width, width);
  std::memcpy(rows.data(), view->data, view->bytes);
  return rows;
}

// What float32 can make of one element, beside its exact course in double. Both sides round: PyTorch and a backend.
//   m  has per step the difference, its share and the sum; errors fade with beta1.
//   v  has at most 3 roundings per step; all of its terms are positive, so they are relative.
//   p  has the decay's product and the sum, and the error of the update, which is m's, half of v's, and those of the
//      root, the corrections, epsilon, the rate's product and the quotient.
struct Course {
  double value, first = 0, second = 0;
  double value_error = 0, first_error = 0, second_error = 0;  // second_error is relative

  void step(double gradient, const AdamWArgs& a) {
    constexpr double kBoth = 2 * kUnit;
    const double change = (1 - a.beta1) * (gradient - first);
    first += change;
    first_error = a.beta1 * first_error + kBoth * (2 * std::abs(change) + std::abs(first));
    second = a.beta2 * second + (1 - a.beta2) * gradient * gradient;
    second_error += 3 * kBoth;
    const double divisor = std::sqrt(second / a.correction2) + a.epsilon, rate = a.rate / a.correction1;
    value = value * (1 - a.rate * a.decay) - rate * first / divisor;
    value_error +=
        rate / divisor * (first_error + std::abs(first) * (second_error / 2 + 6 * kBoth)) + kBoth * 2 * std::abs(value);
  }
};

TEST_P(AdamWGoldenTest, IsThatOfPyTorch) {
  EMBEDCORE_NEEDS(adamw);
  const auto file = SafeTensors::open(kGolden + ".safetensors");
  const Json golden = Json::parse(MappedFile::open(kGolden + ".json")->text(), kGolden);
  double worst = 0;
  for (const Json& c : golden.find("cases")->as_array()) {
    const std::string name = c.find("name")->as_string();
    SCOPED_TRACE(name);
    Rows values = tensor(*file, name + ".initial");
    const Rows gradients = tensor(*file, name + ".gradients"), wanted = tensor(*file, name + ".values");
    const int64_t n = values.width();
    std::vector<Course> courses;
    for (int64_t i = 0; i < n; ++i) courses.push_back({.value = values.at(0, i)});
    Rows first(1, n), second(1, n);
    first.each([](float) { return 0.0f; });
    second.each([](float) { return 0.0f; });
    ASSERT_EQ(gradients.rows(), 50);
    ASSERT_EQ(wanted.rows(), 50);
    for (int64_t step = 0; step < 50; ++step) {
      AdamWArgs args{.elements = n,
                     .rate = c.find("rates")->as_array()[static_cast<size_t>(step)].as_double(),
                     .beta1 = c.find("beta1")->as_double(),
                     .beta2 = c.find("beta2")->as_double(),
                     .epsilon = c.find("epsilon")->as_double(),
                     .decay = c.find("decay")->as_double()};
      args.correction1 = 1 - std::pow(args.beta1, static_cast<double>(step + 1));
      args.correction2 = 1 - std::pow(args.beta2, static_cast<double>(step + 1));
      Rows gradient(1, n);
      std::copy_n(gradients.data(step), n, gradient.data());
      OpCall call(backend());
      args.values = call.out(values);
      args.gradients = call.in(gradient);
      args.first = call.out(first);
      args.second = call.out(second);
      call.run(backend().adamw, args);
      for (int64_t i = 0; i < n; ++i) {
        Course& course = courses[static_cast<size_t>(i)];
        course.step(gradient.at(0, i), args);
        const double error = std::abs(static_cast<double>(values.at(0, i)) - static_cast<double>(wanted.at(step, i)));
        ASSERT_LE(error, course.value_error) << "element " << i << " after step " << step + 1;
        worst = std::max(worst, error / course.value_error);
      }
    }
    const Rows wanted_first = tensor(*file, name + ".first"), wanted_second = tensor(*file, name + ".second");
    for (int64_t i = 0; i < n; ++i) {
      const Course& course = courses[static_cast<size_t>(i)];
      EXPECT_NEAR(first.at(0, i), wanted_first.at(0, i), course.first_error) << i;
      EXPECT_NEAR(second.at(0, i), wanted_second.at(0, i), course.second_error * course.second) << i;
    }
  }
  RecordProperty("worst_share_of_the_bound", std::to_string(worst));
}

}  // namespace
}  // namespace embedcore::test
